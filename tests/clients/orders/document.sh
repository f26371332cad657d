#!/usr/bin/env bash
# The document of an order, by curl. Commands come as lines, one answer line for each.
set -u

base="http://$TESSERA_HTTP/api/v1"
token=""
# What curl is told on its standard input is not seen in the list of processes.
credentials="user = \"admin:$PGPASSWORD\""

# ask METHOD PATH [BODY]: the body of the answer, then its status on a line of its own.
ask() {
    local arguments=(--silent --show-error --config - --request "$1" --write-out '\n%{http_code}')
    [ -n "$token" ] && arguments+=(--header "Tessera-Transaction: $token")
    [ $# -gt 2 ] && arguments+=(--header "Content-Type: application/json" --data "$3")
    curl "${arguments[@]}" "$base$2" <<<"$credentials"
}

# answer RESPONSE [MEMBER]: says how it went, with the value of one member of the body.
answer() {
    local status="${1##*$'\n'}" body="${1%$'\n'*}" value=""
    if [ "$status" -ge 400 ] || [ "$status" -eq 0 ]; then
        echo "error $status ${body//$'\n'/ }"
        return
    fi
    [ $# -gt 1 ] && value=$(sed -E "s/.*\"$2\" *: *\"?([^\",}]*).*/\1/" <<<"$body")
    echo "ok${value:+ $value}"
}

while read -r name argument; do
    case "$name" in
        setup) answer "$(ask POST /documents '{"name": "orders"}')" ;;
        begin)
            response=$(ask POST /transactions '{"isolation": "serializable"}')
            line=$(answer "$response" token)
            token="${line#ok }"
            echo "$line"
            ;;
        join)
            token="$argument"
            echo ok
            ;;
        order) answer "$(ask POST /documents/orders "{\"_id\": \"o$argument\", \"sku\": \"a1\"}")" ;;
        leave)
            token=""
            echo ok
            ;;
        commit | rollback)
            ending="/transactions/$token/$name"
            token=""
            answer "$(ask POST "$ending")"
            ;;
        count) answer "$(ask POST /documents/orders:count '{}')" count ;;
        *) echo "error unknown command $name" ;;
    esac
done

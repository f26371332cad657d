use proptest::prelude::*;

use super::*;

const TRUSTED: Limits = Limits {
    is_trusted: true,
    bulk_bytes_max: 512 << 20,
    request_bytes_max: 1 << 30,
};
const STRANGER: Limits = Limits {
    is_trusted: false,
    ..TRUSTED
};

/// All commands of some bytes, and what ended them.
fn decode_pieces(pieces: &[&[u8]], limits: &Limits) -> (Vec<Vec<Vec<u8>>>, Option<BadRequest>) {
    let mut decoder = Decoder::default();
    let mut input = BytesMut::new();
    let mut requests = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input, limits) {
                Ok(Some(request)) => {
                    requests.push(
                        (0..request.len())
                            .map(|at| request.arg(at).to_vec())
                            .collect(),
                    );
                }
                Ok(None) => break,
                Err(bad) => return (requests, Some(bad)),
            }
        }
    }
    (requests, None)
}

fn decode(bytes: &[u8]) -> (Vec<Vec<Vec<u8>>>, Option<BadRequest>) {
    decode_pieces(&[bytes], &TRUSTED)
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn protocol(error: &'static str) -> Option<BadRequest> {
    Some(BadRequest::Protocol(error))
}

#[test]
fn arrays_and_lines_are_commands() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n\r\n*0\r\n*-1\r\n  set a 'x y'\n";
    assert_eq!(
        decode(bytes),
        (
            vec![
                words(&["GET", "k"]),
                words(&["PING"]),
                words(&["set", "a", "x y"])
            ],
            None
        )
    );
}

#[test]
fn keys_may_hold_any_bytes() {
    let (requests, end) = decode(b"*2\r\n$3\r\nGET\r\n$5\r\na\0\r\nb\r\n");
    assert_eq!(requests[0][1], b"a\0\r\nb");
    assert_eq!(end, None);
}

#[test]
fn quotes_and_escapes_of_lines_mean_what_redis_means() {
    let check = |line: &str, expected: Option<&[&str]>| {
        let (requests, end) = decode(format!("{line}\r\n").as_bytes());
        match expected {
            Some(expected) => assert_eq!(requests, vec![words(expected)], "{line}"),
            None => assert_eq!(end, protocol("unbalanced quotes in request"), "{line}"),
        }
    };
    check(r#"set "a b" c"#, Some(&["set", "a b", "c"]));
    check(r#"echo "\x41\n\t\"\\q""#, Some(&["echo", "A\n\t\"\\q"]));
    check(r"echo 'it\'s \n'", Some(&["echo", r"it's \n"]));
    check(r#"echo """#, Some(&["echo", ""]));
    check(r#"echo "a"#, None);
    check(r#"echo 'a"#, None);
    check(r#"echo "a"b"#, None);
    check(r"echo 'a'b", None);
}

#[test]
fn broken_frames_end_the_connection() {
    let check = |bytes: &[u8], error| assert_eq!(decode(bytes).1, protocol(error), "{bytes:?}");
    check(b"*2147483648\r\n", "invalid multibulk length");
    check(b"*x\r\n", "invalid multibulk length");
    check(b"*\r\n", "invalid multibulk length");
    check(b"*20000000\r\n", "invalid multibulk length");
    check(b"*1\r\n$-5\r\n", "invalid bulk length");
    check(b"*1\r\n$abc\r\n", "invalid bulk length");
    check(b"*1\r\n$600000000\r\n", "invalid bulk length");
    check(b"*1\r\n$1\r\nabc", "expected end of line behind a string");
    check(b"*1\r\r", "expected end of line");
    assert_eq!(decode(b"*1\r\nGET").1, Some(BadRequest::NoBulk(b'G')));
    check(&[b'a'; INLINE_BYTES_MAX + 1], "too big inline request");
    let long = [b"*".as_slice(), &[b'1'; INLINE_BYTES_MAX + 1]].concat();
    check(&long, "too big mbulk count string");
    let long = [b"*1\r\n$".as_slice(), &[b'1'; INLINE_BYTES_MAX + 1]].concat();
    check(&long, "too big bulk count string");
}

#[test]
fn strangers_may_send_little() {
    let check = |bytes: &[u8], end| assert_eq!(decode_pieces(&[bytes], &STRANGER).1, end);
    check(b"*10\r\n", None);
    check(b"*11\r\n", protocol("unauthenticated multibulk length"));
    check(b"*1\r\n$16384\r\n", None);
    check(b"*1\r\n$16385\r\n", protocol("unauthenticated bulk length"));
}

#[test]
fn announced_sizes_allocate_nothing() {
    let mut decoder = Decoder::default();
    let mut input = BytesMut::from(&b"*1000000\r\n$500000000\r\n"[..]);
    let before = input.capacity();
    assert!(decoder.next(&mut input, &TRUSTED).expect("valid").is_none());
    assert_eq!(input.capacity(), before);
    assert!(!decoder.spans.spilled());
}

#[test]
fn a_command_has_a_largest_size() {
    let limits = Limits {
        request_bytes_max: 100,
        ..TRUSTED
    };
    let bytes = [b"*2\r\n$90\r\n".as_slice(), &[b'a'; 90], b"\r\n$90\r\nb"].concat();
    assert_eq!(
        decode_pieces(&[&bytes], &limits).1,
        protocol("too big request")
    );
}

#[test]
fn http_is_noticed() {
    for line in [
        "POST / HTTP/1.1",
        "Host: example.org",
        "GET / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
    ] {
        let (_, end) = decode(format!("{line}\r\n").as_bytes());
        assert_eq!(end, Some(BadRequest::Http), "{line}");
    }
}

fn encoded(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        out.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
        for argument in request {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

proptest! {
    #[test]
    fn commands_are_the_same_wherever_they_are_split(
        requests in proptest::collection::vec(
            proptest::collection::vec(any::<Vec<u8>>(), 1..12), 1..4),
    ) {
        let bytes = encoded(&requests);
        for at in 0..=bytes.len() {
            let (found, end) = decode_pieces(&[&bytes[..at], &bytes[at..]], &TRUSTED);
            prop_assert_eq!(&found, &requests);
            prop_assert_eq!(end, None);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(decode_pieces(&single, &TRUSTED).0, requests);
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
        decode(&bytes);
    }

    #[test]
    fn no_frames_panic(bytes in "[*$'\"\\\\a0-9\r\n -]{0,60}") {
        let bytes = bytes.as_bytes();
        let whole = decode(bytes);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(decode_pieces(&single, &TRUSTED), whole);
    }
}

use super::*;
use crate::statement::{Setting, SettingValue, Transaction};

fn error(sql: &str) -> (String, String, Option<u32>) {
    let report = parse(sql).expect_err(sql);
    (
        report.code.as_str().to_owned(),
        report.message.clone(),
        report.position,
    )
}

#[test]
fn syntax_errors_name_the_token_and_its_place() {
    let near = |token: &str| format!("syntax error at or near \"{token}\"");
    assert_eq!(error("SELEC 1"), ("42601".into(), near("SELEC"), Some(1)));
    assert_eq!(
        error("SELECT 1 FORM t x"),
        ("42601".into(), near("t"), Some(15))
    );
    assert_eq!(
        error("SELECT 'ä', )"),
        ("42601".into(), near(")"), Some(13))
    );
    assert_eq!(
        error("SELECT (1"),
        (
            "42601".into(),
            "syntax error at end of input".into(),
            Some(10)
        )
    );
    assert_eq!(error("SELECT 1;\n\n  BOGUS").2, Some(14));
}

#[test]
fn statements_are_split_at_semicolons_and_keep_their_own_text() {
    let all = parse(" SELECT 1 ; ;SELECT ';' -- x;\n; BEGIN").expect("parses");
    let texts: Vec<&str> = all.iter().map(|p| &*p.text).collect();
    assert_eq!(texts, ["SELECT 1", "SELECT ';'", "BEGIN"]);
    assert_eq!(
        all.iter().map(|p| p.offset).collect::<Vec<_>>(),
        [1, 13, 32]
    );
}

#[test]
fn deep_nesting_is_refused_and_not_overflown() {
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert_eq!(error(&deep).0, "54001");
    let minus = format!("SELECT {} 1", "- ".repeat(20_000));
    assert_eq!(error(&minus).0, "54001");
    let chain = format!("SELECT 1{}", " + 1".repeat(100_000));
    assert_eq!(error(&chain).0, "54001");
    let casts = format!("SELECT 1{}", "::int".repeat(100_000));
    assert_eq!(error(&casts).0, "54001");
    let unions = format!("SELECT 1{}", " UNION SELECT 1".repeat(20_000));
    assert_eq!(error(&unions).0, "54001");
}

#[test]
fn reasonable_nesting_and_long_conditions_are_read() {
    let nested = format!("SELECT {}1{}", "(".repeat(300), ")".repeat(300));
    assert!(parse(&nested).is_ok());
    let ors = format!("SELECT 1 WHERE a = 0{}", " OR a = 1".repeat(10_000));
    assert!(parse(&ors).is_ok());
    let list = format!("SELECT 1 WHERE a IN (0{})", ", 1".repeat(100_000));
    assert!(parse(&list).is_ok());
}

#[test]
fn session_statements_are_read() {
    let one = |sql: &str| parse(sql).expect(sql).remove(0).statement;
    assert!(matches!(
        one("begin isolation level repeatable read, read only"),
        Statement::Transaction(Transaction::Begin(modes))
            if modes.read_only == Some(true) && modes.isolation.is_some()
    ));
    assert!(matches!(
        one("SET search_path TO a, \"B\""),
        Statement::Setting(Setting::Set { name, values: SettingValue::Values(values), local: false })
            if name == "search_path" && values == ["a", "B"]
    ));
    assert!(
        matches!(one("SHOW TIME ZONE"), Statement::Setting(Setting::Show(n)) if n == "timezone")
    );
    assert!(matches!(
        one("FETCH BACKWARD ALL FROM c"),
        Statement::Fetch(_)
    ));
    assert!(
        matches!(one("PREPARE p (int, numeric(10,2)) AS SELECT $1"), Statement::Prepare(p)
        if p.types.len() == 2)
    );
    assert!(
        matches!(one("EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1"), Statement::Explain(e)
        if e.analyze)
    );
    assert!(matches!(one("TABLE t LIMIT 1"), Statement::Query(_)));
    assert!(matches!(
        one("COPY t FROM STDIN WITH (FORMAT csv)"),
        Statement::Copy(_)
    ));
    assert!(matches!(one("EXECUTE p (1, 'x')"), Statement::Execute(e) if e.arguments.len() == 2));
    assert_eq!(error("ROLLBACK TO 1").1, "syntax error at or near \"1\"");
}

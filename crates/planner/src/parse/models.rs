//! `CREATE COLLECTION`, `CREATE KEY SPACE` and their kin, which PostgreSQL has not.
//!
//! ```text
//! CREATE COLLECTION [IF NOT EXISTS] name [WITH (option = value, …)]
//! CREATE KEY SPACE [IF NOT EXISTS] name
//! DROP COLLECTION | DROP KEY SPACE [IF EXISTS] name, … [CASCADE | RESTRICT]
//! ```

use std::sync::Arc;

use sqlparser::tokenizer::{Token, TokenWithSpan};
use tessera_types::{Report, codes};

use super::Source;
use crate::ddl::RelationName;
use crate::statement::{CollectionSettings, ModelDdl, ModelKind, Statement};

/// Reads the statement if it is one of this module's, else gives `None`.
pub(super) fn parse(
    source: &Source<'_>,
    tokens: &[TokenWithSpan],
) -> Result<Option<Statement>, Report> {
    let mut reader = Reader {
        source,
        tokens,
        at: 0,
    };
    let is_drop = reader.keyword("DROP");
    let is_alter = !is_drop && reader.keyword("ALTER");
    if !is_drop && !is_alter && !reader.keyword("CREATE") {
        return Ok(None);
    }
    let kind = if reader.keyword("COLLECTION") {
        ModelKind::Collection
    } else if reader.keyword("KEY") && reader.keyword("SPACE") {
        ModelKind::KeySpace
    } else {
        return Ok(None);
    };
    if is_alter {
        return Err(Report::unsupported(format!(
            "ALTER {} is not supported",
            kind.words().to_uppercase()
        ))
        .with_hint("Use CREATE INDEX and DROP INDEX, or /api/v1/documents."));
    }
    let statement = if is_drop {
        reader.drop(kind)?
    } else {
        reader.create(kind)?
    };
    match reader.tokens.get(reader.at) {
        Some(_) => Err(reader.unexpected()),
        None => Ok(Some(Statement::Model(Arc::new(statement)))),
    }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    fn unexpected(&self) -> Report {
        self.source.near(self.tokens.get(self.at))
    }

    /// Where the next token stands.
    fn position(&self) -> u32 {
        let token = self.tokens.get(self.at);
        token.map_or(0, |token| self.source.position(token.span.start))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn symbol(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, found: bool) -> Result<(), Report> {
        if found {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn name(&mut self) -> Result<String, Report> {
        let name = match self.peek() {
            Some(Token::Word(word)) => match word.quote_style {
                Some(_) => word.value.clone(),
                None => word.value.to_lowercase(),
            },
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(name)
    }

    fn relation(&mut self) -> Result<RelationName, Report> {
        let first = self.name()?;
        if self.symbol(&Token::Period) {
            let name = self.name()?;
            return Ok(RelationName {
                schema: Some(first),
                name,
            });
        }
        Ok(RelationName {
            schema: None,
            name: first,
        })
    }

    fn create(&mut self, kind: ModelKind) -> Result<ModelDdl, Report> {
        let mut if_not_exists = false;
        if self.keyword("IF") {
            let is_complete = self.keyword("NOT") && self.keyword("EXISTS");
            self.expect(is_complete)?;
            if_not_exists = true;
        }
        let name = self.relation()?;
        match kind {
            ModelKind::KeySpace => Ok(ModelDdl::CreateKeySpace {
                name,
                if_not_exists,
            }),
            ModelKind::Collection => Ok(ModelDdl::CreateCollection {
                settings: if self.keyword("WITH") {
                    self.settings()?
                } else {
                    CollectionSettings::default()
                },
                name,
                if_not_exists,
            }),
        }
    }

    fn drop(&mut self, kind: ModelKind) -> Result<ModelDdl, Report> {
        let mut if_exists = false;
        if self.keyword("IF") {
            let is_complete = self.keyword("EXISTS");
            self.expect(is_complete)?;
            if_exists = true;
        }
        let mut names = vec![self.relation()?];
        while self.symbol(&Token::Comma) {
            names.push(self.relation()?);
        }
        let cascade = self.keyword("CASCADE");
        if !cascade {
            self.keyword("RESTRICT");
        }
        Ok(ModelDdl::Drop {
            kind,
            names,
            if_exists,
            cascade,
        })
    }

    /// `(name = value, …)`.
    fn settings(&mut self) -> Result<CollectionSettings, Report> {
        let is_open = self.symbol(&Token::LParen);
        self.expect(is_open)?;
        let mut settings = CollectionSettings::default();
        loop {
            let at = self.position();
            let name = self.name()?;
            let twice = || {
                let message = format!("option \"{name}\" is given twice");
                Report::error(codes::SYNTAX_ERROR, message).at(at)
            };
            let is_assigned = self.symbol(&Token::Eq);
            self.expect(is_assigned)?;
            let value_at = self.position();
            let value = self.value()?;
            let place = match name.as_str() {
                "id_policy" => &mut settings.id_policy,
                "schema" => &mut settings.schema,
                "ttl_field" => &mut settings.ttl_field,
                "ttl_seconds" => {
                    if settings.ttl_seconds.is_some() {
                        return Err(twice());
                    }
                    let seconds = value.parse().map_err(|_| {
                        let message = "ttl_seconds is a number of seconds of 32 bits";
                        Report::error(codes::INVALID_PARAMETER_VALUE, message).at(value_at)
                    })?;
                    settings.ttl_seconds = Some(seconds);
                    if !self.symbol(&Token::Comma) {
                        break;
                    }
                    continue;
                }
                _ => {
                    return Err(Report::error(
                        codes::SYNTAX_ERROR,
                        format!("unrecognized option \"{name}\" of a collection"),
                    )
                    .with_hint("There are id_policy, schema, ttl_field and ttl_seconds.")
                    .at(at));
                }
            };
            if place.replace((value, value_at)).is_some() {
                return Err(twice());
            }
            if !self.symbol(&Token::Comma) {
                break;
            }
        }
        let is_closed = self.symbol(&Token::RParen);
        self.expect(is_closed)?;
        Ok(settings)
    }

    fn value(&mut self) -> Result<String, Report> {
        let value = match self.peek() {
            Some(
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::UnicodeStringLiteral(text)
                | Token::Number(text, _),
            ) => text.clone(),
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_lowercase(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn error_of(sql: &str) -> (String, Option<u32>) {
        let error = parse(sql).expect_err(sql);
        (error.message.to_string(), error.position)
    }

    #[test]
    fn unknown_options_are_named_with_their_place() {
        let (message, position) =
            error_of("CREATE COLLECTION c WITH (id_policy = any, colour = 1)");
        assert_eq!(message, "unrecognized option \"colour\" of a collection");
        assert_eq!(position, Some(44));
    }

    #[test]
    fn what_follows_a_definition_is_an_error() {
        for sql in [
            "CREATE COLLECTION",
            "CREATE COLLECTION c d",
            "CREATE COLLECTION c WITH ()",
            "CREATE COLLECTION c WITH (schema = '{}', schema = '{}')",
            "CREATE KEY SPACE s WITH (a = 1)",
            "DROP KEY SPACE",
            "DROP COLLECTION IF c",
        ] {
            assert!(parse(sql).is_err(), "{sql}");
        }
        assert_eq!(parse("CREATE KEY SPACE kv.s").unwrap().len(), 1);
        assert_eq!(parse("DROP COLLECTION a, b.c CASCADE").unwrap().len(), 1);
    }
}

//! The relations that a statement names, for the check of privileges.

use std::ops::ControlFlow;

use sqlparser::ast::{self, ObjectName, Visit, Visitor};
use tessera_catalog::KEY_SPACES_SCHEMA;

use crate::statement::{Maintenance, ModelDdl, ModelKind, Statement};

/// A relation as a statement names it, folded as identifiers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationName {
    /// Schema, if it was written.
    pub schema: Option<String>,
    /// Name.
    pub name: String,
}

/// Every relation that the statement names, in any place; names of common table expressions are
/// among them. Views are not looked into: their owner's rights count there.
pub fn relation_names(statement: &Statement) -> Vec<RelationName> {
    let mut found = Collector::default();
    collect(statement, &mut found);
    found.names
}

fn collect(statement: &Statement, found: &mut Collector) {
    match statement {
        Statement::Query(query) => found.visit(query.as_ref()),
        Statement::Write(statement)
        | Statement::Copy(statement)
        | Statement::Ddl(statement)
        | Statement::CreateTableAs(statement) => {
            found.visit(statement.as_ref());
            found.add_targets(statement);
        }
        Statement::Model(model) => {
            if let ModelDdl::Drop { kind, names, .. } = &**model {
                for name in names {
                    let in_kv = *kind == ModelKind::KeySpace;
                    let name = RelationName {
                        schema: name
                            .schema
                            .clone()
                            .or_else(|| in_kv.then(|| KEY_SPACES_SCHEMA.to_owned())),
                        name: name.name.clone(),
                    };
                    found.names.push(name);
                }
            }
        }
        Statement::Explain(explain) => collect(&explain.statement.statement, found),
        Statement::Prepare(prepare) => collect(&prepare.statement.statement, found),
        Statement::Declare(declare) => collect(&declare.query.statement, found),
        Statement::Lock(lock) => lock.tables.iter().for_each(|name| found.add(name)),
        Statement::Maintenance(
            Maintenance::Analyze(tables) | Maintenance::Vacuum { tables, .. },
        ) => tables.iter().for_each(|name| found.add(name)),
        _ => {}
    }
}

#[derive(Default)]
struct Collector {
    names: Vec<RelationName>,
}

impl Visitor for Collector {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.add(relation);
        ControlFlow::Continue(())
    }
}

impl Collector {
    /// The visitor never breaks off, so there is no answer to look at.
    fn visit(&mut self, part: &impl Visit) {
        let _: ControlFlow<()> = part.visit(self);
    }

    fn add(&mut self, name: &ObjectName) {
        let mut parts: Vec<String> = name
            .0
            .iter()
            .filter_map(|part| part.as_ident())
            .map(|ident| match ident.quote_style {
                Some(_) => ident.value.clone(),
                None => ident.value.to_lowercase(),
            })
            .collect();
        let Some(name) = parts.pop() else { return };
        let name = RelationName {
            schema: parts.pop(),
            name,
        };
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// Names that the visitor of `sqlparser` does not count as relations.
    fn add_targets(&mut self, statement: &ast::Statement) {
        match statement {
            ast::Statement::Drop { names, .. } => names.iter().for_each(|name| self.add(name)),
            ast::Statement::Comment { object_name, .. } => {
                // A column's name has its table before it.
                self.add(object_name);
                let mut table = object_name.clone();
                if table.0.pop().is_some() && !table.0.is_empty() {
                    self.add(&table);
                }
            }
            ast::Statement::Copy {
                source: ast::CopySource::Table { table_name, .. },
                ..
            } => {
                self.add(table_name);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let parsed = crate::parse(sql).expect(sql);
        let names: Vec<String> = relation_names(&parsed[0].statement)
            .into_iter()
            .map(|name| match name.schema {
                Some(schema) => format!("{schema}.{}", name.name),
                None => name.name,
            })
            .collect();
        assert_eq!(names.join(" "), expected, "{sql}");
    }

    #[test]
    fn every_named_relation_is_found() {
        check(
            "SELECT * FROM a JOIN s.B ON true WHERE x IN (SELECT y FROM \"C\")",
            "a s.b C",
        );
        check("INSERT INTO t SELECT * FROM u", "t u");
        check("UPDATE t SET a = (SELECT max(b) FROM u)", "t u");
        check("DELETE FROM t USING u WHERE t.a = u.a", "t u");
        check("EXPLAIN SELECT * FROM t", "t");
        check("DROP TABLE t, u", "t u");
        check("DROP COLLECTION t, s.u", "t s.u");
        check("DROP KEY SPACE a, kv.b", "kv.a kv.b");
        check("ALTER TABLE t ADD COLUMN a int", "t");
        check("CREATE INDEX i ON t (a)", "t");
        check("TRUNCATE t", "t");
        check("COPY t FROM STDIN", "t");
        check("LOCK TABLE t", "t");
    }
}

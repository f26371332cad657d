//! Texts that definitions keep, with every relation and sequence qualified, so that the search path
//! of whoever uses them later does not matter.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName, VisitMut, VisitorMut};
use tessera_catalog::quote_name;
use tessera_planner::ddl::relation_name;
use tessera_planner::short_path::bind::folded;
use tessera_types::{RelationId, Report};

use crate::context::SessionContext;
use crate::dml::expr::sequence_by_text;

/// Qualifies the relations of a query; gives the ids of those in the catalog.
pub(super) fn qualify(
    query: &mut ast::Query,
    session: &SessionContext,
) -> Result<Vec<RelationId>, Report> {
    let mut visitor = Qualifier {
        session,
        scopes: Vec::new(),
        found: Vec::new(),
        error: None,
    };
    let _ = query.visit(&mut visitor);
    match visitor.error {
        Some(report) => Err(report),
        None => Ok(visitor.found),
    }
}

/// A DEFAULT expression with the sequences of its `nextval` calls qualified.
pub(super) fn pin_sequences(sql: &str, session: &SessionContext) -> Result<String, Report> {
    let mut expr = tessera_planner::parse_expression(sql)?;
    let mut is_changed = false;
    let _ = ast::visit_expressions_mut(&mut expr, |node: &mut ast::Expr| {
        if let Some(text) = sequence_argument(node)
            && let Some(oid) = sequence_by_text(session, text)
            && let Some(sequence) = session.catalog.sequence(RelationId(oid))
        {
            *text = format!(
                "{}.{}",
                quote_name(&sequence.schema),
                quote_name(&sequence.name)
            );
            is_changed = true;
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(if is_changed {
        expr.to_string()
    } else {
        sql.to_owned()
    })
}

/// The text in `nextval('text')` and its kin, with or without a cast.
fn sequence_argument(expr: &mut ast::Expr) -> Option<&mut String> {
    let ast::Expr::Function(function) = expr else {
        return None;
    };
    let name = function.name.0.last()?.as_ident().map(folded)?;
    if !matches!(name.as_str(), "nextval" | "currval") {
        return None;
    }
    let ast::FunctionArguments::List(list) = &mut function.args else {
        return None;
    };
    let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))] =
        list.args.as_mut_slice()
    else {
        return None;
    };
    let literal = match argument {
        ast::Expr::Cast { expr, .. } => &mut **expr,
        other => other,
    };
    match literal {
        ast::Expr::Value(value) => match &mut value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// A name as PostgreSQL prints it: in quotes only where it needs them.
fn quoted(name: &str) -> Ident {
    if quote_name(name) == name {
        Ident::new(name)
    } else {
        Ident::with_quote('"', name)
    }
}

struct Qualifier<'a> {
    session: &'a SessionContext,
    /// Names that WITH clauses around here define.
    scopes: Vec<HashSet<String>>,
    found: Vec<RelationId>,
    error: Option<Report>,
}

impl VisitorMut for Qualifier<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let names = query.with.iter().flat_map(|with| &with.cte_tables);
        self.scopes
            .push(names.map(|cte| folded(&cte.alias.name)).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        let name = match relation_name(relation) {
            Ok(name) => name,
            Err(report) => {
                self.error = Some(report);
                return ControlFlow::Break(());
            }
        };
        let is_local =
            name.schema.is_none() && self.scopes.iter().any(|scope| scope.contains(&name.name));
        if is_local {
            return ControlFlow::Continue(());
        }
        let catalog = &self.session.catalog;
        let found = catalog.resolve(
            &self.session.search_path,
            name.schema.as_deref(),
            &name.name,
        );
        // What is not found is a system relation or a function; the binder has its say.
        if let Some(found) = found {
            let parts = [found.schema(), found.name()];
            *relation = ObjectName::from(parts.map(quoted).to_vec());
            if !self.found.contains(&found.id()) {
                self.found.push(found.id());
            }
        }
        ControlFlow::Continue(())
    }
}

//! What is derived from a table's definition once and used by many statements.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tessera_catalog::TableDef;
use tessera_tables::{RowIds, Table};
use tessera_types::{RelationId, Report};

use super::expr::Compiler;
use super::rules::RowRules;

/// Tables kept. Beyond that the cache starts anew: definitions are cheap to prepare again.
const TABLES_MAX: usize = 10_000;

/// Prepared tables, their rules, and the counters of hidden row numbers.
#[derive(Debug, Default)]
pub(crate) struct WriteCache {
    pub(crate) row_ids: RowIds,
    tables: Mutex<HashMap<RelationId, Arc<Table>>>,
    rules: Mutex<HashMap<(RelationId, bool), CachedRules>>,
}

#[derive(Debug)]
struct CachedRules {
    def: Arc<TableDef>,
    search_path: Arc<[String]>,
    rules: Arc<RowRules>,
}

impl WriteCache {
    /// The table of a definition. Definitions are told apart by their address, for one that was
    /// rolled back may have had the version of a later one.
    pub(crate) fn table(&self, def: &Arc<TableDef>) -> Arc<Table> {
        let mut tables = self.tables.lock();
        if let Some(table) = tables.get(&def.id)
            && Arc::ptr_eq(table.def(), def)
        {
            return Arc::clone(table);
        }
        if tables.len() >= TABLES_MAX {
            tables.clear();
        }
        let table = Arc::new(Table::new(Arc::clone(def)));
        tables.insert(def.id, Arc::clone(&table));
        table
    }

    /// The rules of a table; `Ok(None)` only when scalars alone are wanted and do not do.
    pub(crate) fn rules(
        &self,
        compiler: &mut Compiler<'_>,
        def: &Arc<TableDef>,
    ) -> Result<Option<Arc<RowRules>>, Report> {
        let key = (def.id, compiler.session.short_path);
        if let Some(cached) = self.rules.lock().get(&key)
            && Arc::ptr_eq(&cached.def, def)
            && cached.search_path == compiler.session.search_path
            && (!compiler.scalars_only || cached.rules.is_scalar())
        {
            return Ok(Some(Arc::clone(&cached.rules)));
        }
        let Some(rules) = RowRules::compile(compiler, def)? else {
            return Ok(None);
        };
        let rules = Arc::new(rules);
        let mut all = self.rules.lock();
        if all.len() >= TABLES_MAX {
            all.clear();
        }
        let cached = CachedRules {
            def: Arc::clone(def),
            search_path: Arc::clone(&compiler.session.search_path),
            rules: Arc::clone(&rules),
        };
        all.insert(key, cached);
        Ok(Some(rules))
    }
}

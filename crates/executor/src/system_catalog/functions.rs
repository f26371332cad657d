//! Functions that look into the catalog.
//!
//! All of them work row by row on values: they are called a few times per statement, and their
//! cost is in the look-up.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use tessera_planner::arrow_types::sql_type_of;
use tessera_planner::errors::external;
use tessera_planner::functions::{
    Argument, FunctionRegistry, Returns, Scalar, SetColumns, SetOverload,
};
use tessera_types::{RelationId, Report, SqlType, Value};

use super::rows::{array, flag, opt_text, text};
use super::{names, procedures, server};
use crate::arrow_values::{ArrayWriter, ColumnReader};
use crate::context::{StatementContext, StatementExtension};
use crate::executor::Executor;

/// What a function may look at.
pub(super) struct Call<'a> {
    pub(super) statement: &'a StatementContext,
    pub(super) executor: &'a Executor,
}

impl Call<'_> {
    pub(super) fn registry(&self) -> &FunctionRegistry {
        self.executor.registry()
    }
}

/// Whether a NULL argument makes the result NULL without a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    Strict,
    /// The function sees NULLs.
    Lenient,
}

/// One call of a function.
pub(super) type RowFunction = fn(&Call<'_>, &[Value]) -> Result<Value, Report>;

/// A function over single values.
pub(super) fn row_function(
    name: &str,
    arguments: &[SqlType],
    returns: SqlType,
    strictness: Strictness,
    function: RowFunction,
) -> Scalar {
    let arguments: Vec<Argument> = arguments.iter().cloned().map(Argument::Exact).collect();
    let result = returns.clone();
    Scalar::new(name, arguments, Returns::Exact(returns), move |args| {
        evaluate(args, &result, strictness, function)
    })
    .stable()
}

/// Adds a function unless one of that name is there already.
pub(super) fn add(registry: &mut FunctionRegistry, scalar: Scalar) {
    registry.scalar(scalar);
}

fn evaluate(
    args: ScalarFunctionArgs,
    returns: &SqlType,
    strictness: Strictness,
    function: RowFunction,
) -> DfResult<ColumnarValue> {
    let extension = StatementExtension::of(&args.config_options).ok_or_else(|| {
        external(Report::internal(
            "a catalog function was called outside a statement",
        ))
    })?;
    let call = Call {
        statement: &extension.statement,
        executor: &extension.executor,
    };
    let mut readers = Vec::with_capacity(args.args.len());
    for (value, field) in args.args.iter().zip(&args.arg_fields) {
        let array = value.to_array(args.number_rows)?;
        readers.push(ColumnReader::new(&array, &sql_type_of(field)).map_err(external)?);
    }
    let mut writer = ArrayWriter::new(returns, args.number_rows);
    let mut arguments = vec![Value::Null; readers.len()];
    for row in 0..args.number_rows {
        for (argument, reader) in arguments.iter_mut().zip(&readers) {
            *argument = reader.value(row).to_owned();
        }
        let is_null = strictness == Strictness::Strict && arguments.iter().any(Value::is_null);
        let result = if is_null {
            Value::Null
        } else {
            function(&call, &arguments).map_err(external)?
        };
        writer.push(result.as_ref()).map_err(external)?;
    }
    let array: ArrayRef = writer.finish();
    let is_constant = args
        .args
        .iter()
        .all(|value| matches!(value, ColumnarValue::Scalar(_)));
    if is_constant && args.number_rows == 1 {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
            &array, 0,
        )?));
    }
    Ok(ColumnarValue::Array(array))
}

pub(super) fn oid_of(value: &Value) -> u32 {
    match value {
        Value::Oid(oid) => *oid,
        other => other
            .as_i64()
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(0),
    }
}

pub(super) fn int8_of(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn str_of(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// Adds the functions.
pub(super) fn register(registry: &mut FunctionRegistry) {
    register_definitions(registry);
    register_visibility(registry);
    register_names(registry);
    register_sizes(registry);
    register_privileges(registry);
    register_sets(registry);
}

fn register_definitions(registry: &mut FunctionRegistry) {
    use SqlType::{Boolean, Integer, Name, Oid, Text};
    use Strictness::{Lenient, Strict};
    let mut function = |scalar| add(registry, scalar);
    function(row_function(
        "format_type",
        &[Oid, Integer],
        Text,
        Lenient,
        format_type,
    ));
    function(
        row_function(
            "pg_get_expr",
            &[Text, Oid, Boolean],
            Text,
            Strict,
            |_, arguments| Ok(arguments[0].clone()),
        )
        .optional(1),
    );
    function(row_function(
        "pg_get_indexdef",
        &[Oid],
        Text,
        Strict,
        index_definition,
    ));
    function(row_function(
        "pg_get_indexdef",
        &[Oid, Integer, Boolean],
        Text,
        Strict,
        index_definition,
    ));
    function(
        row_function(
            "pg_get_constraintdef",
            &[Oid, Boolean],
            Text,
            Strict,
            |call, arguments| {
                let catalog = &call.statement.session.catalog;
                Ok(opt_text(super::text::constraint(
                    catalog,
                    oid_of(&arguments[0]),
                    matches!(arguments.get(1), Some(Value::Boolean(true))),
                )))
            },
        )
        .optional(1),
    );
    function(
        row_function(
            "pg_get_viewdef",
            &[Oid, Boolean],
            Text,
            Strict,
            |call, arguments| {
                let catalog = &call.statement.session.catalog;
                Ok(opt_text(super::text::view(
                    catalog,
                    RelationId(oid_of(&arguments[0])),
                )))
            },
        )
        .optional(1),
    );
    function(
        row_function(
            "pg_get_viewdef",
            &[Text, Boolean],
            Text,
            Strict,
            |call, arguments| {
                let session = &call.statement.session;
                let name = str_of(&arguments[0]);
                let oid = names::input(session, call.registry(), &SqlType::Regclass, name)?;
                Ok(opt_text(super::text::view(
                    &session.catalog,
                    RelationId(oid),
                )))
            },
        )
        .optional(1),
    );
    function(row_function(
        "pg_get_userbyid",
        &[Oid],
        Name,
        Strict,
        |call, arguments| {
            Ok(text(names::user_name(
                &call.statement.session.catalog,
                oid_of(&arguments[0]),
            )))
        },
    ));
    function(row_function(
        "pg_get_serial_sequence",
        &[Text, Text],
        Text,
        Strict,
        serial_sequence,
    ));
    function(row_function(
        "pg_get_function_result",
        &[Oid],
        Text,
        Strict,
        |call, arguments| {
            let function = procedures::function(call.registry(), oid_of(&arguments[0]));
            Ok(opt_text(
                function.map(|function| procedures::result_text(&function)),
            ))
        },
    ));
    for name in [
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
    ] {
        function(row_function(
            name,
            &[Oid],
            Text,
            Strict,
            |call, arguments| {
                let function = procedures::function(call.registry(), oid_of(&arguments[0]));
                Ok(opt_text(
                    function.map(|function| procedures::arguments_text(&function)),
                ))
            },
        ));
    }
    // Objects that we do not have: asked about by oid, there is none.
    for name in [
        "pg_get_functiondef",
        "pg_get_partkeydef",
        "pg_get_partition_constraintdef",
        "pg_get_statisticsobjdef",
        "pg_get_statisticsobjdef_columns",
        "pg_get_function_sqlbody",
    ] {
        function(row_function(name, &[Oid], Text, Strict, |_, _| {
            Ok(Value::Null)
        }));
    }
    for name in ["pg_get_triggerdef", "pg_get_ruledef"] {
        let none = row_function(name, &[Oid, Boolean], Text, Strict, |_, _| Ok(Value::Null));
        function(none.optional(1));
    }
    function(
        row_function(
            "obj_description",
            &[Oid, Name],
            Text,
            Strict,
            object_comment,
        )
        .optional(1),
    );
    function(row_function(
        "shobj_description",
        &[Oid, Name],
        Text,
        Strict,
        |call, arguments| {
            let user = call
                .statement
                .session
                .catalog
                .user_by_oid(oid_of(&arguments[0]));
            Ok(opt_text(user.and_then(|user| user.comment.as_deref())))
        },
    ));
    function(row_function(
        "col_description",
        &[Oid, Integer],
        Text,
        Strict,
        column_comment,
    ));
}

fn format_type(_: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    if arguments[0].is_null() {
        return Ok(Value::Null);
    }
    let modifier = arguments[1].as_i64().and_then(|m| i32::try_from(m).ok());
    let oid = oid_of(&arguments[0]);
    Ok(text(
        match (oid, SqlType::from_oid(oid, modifier.unwrap_or(-1))) {
            (0, _) => "-".to_owned(),
            (_, None) => "???".to_owned(),
            // Without a modifier the plain name, with -1 the name that says "any length".
            (_, Some(ty)) if modifier.is_none() => ty.base_name_of_column(),
            (_, Some(ty)) => ty.name(),
        },
    ))
}

/// `format_type(type, NULL)`.
trait BaseName {
    fn base_name_of_column(&self) -> String;
}

impl BaseName for SqlType {
    fn base_name_of_column(&self) -> String {
        match self {
            SqlType::Char(_) => "character".to_owned(),
            SqlType::Array(element) => format!("{}[]", element.base_name_of_column()),
            other => other.base_name(),
        }
    }
}

fn index_definition(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let id = RelationId(oid_of(&arguments[0]));
    let Some((table, index)) = call.statement.session.catalog.index(id) else {
        return Ok(document_index_definition(call, arguments, id));
    };
    let column = arguments.get(1).and_then(Value::as_i64).unwrap_or(0);
    let Ok(at) = usize::try_from(column) else {
        return Ok(Value::Null);
    };
    Ok(match at.checked_sub(1) {
        None => text(super::text::index(table, index)),
        Some(at) => match index.columns.get(at) {
            Some(key) => text(super::text::index_column(table, key)),
            None => text(""),
        },
    })
}

/// The same for an index of a collection.
fn document_index_definition(call: &Call<'_>, arguments: &[Value], id: RelationId) -> Value {
    use super::document_indexes as indexes;
    let Some((table, index)) = indexes::find(&call.statement.session.catalog, id) else {
        return Value::Null;
    };
    let column = arguments.get(1).and_then(Value::as_i64).unwrap_or(0);
    match usize::try_from(column).map(|column| column.checked_sub(1)) {
        Ok(None) => text(indexes::definition(table, &index)),
        Ok(Some(at)) => text(indexes::keys(&index).get(at).cloned().unwrap_or_default()),
        Err(_) => Value::Null,
    }
}

fn serial_sequence(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let session = &call.statement.session;
    let name = str_of(&arguments[0]);
    let id = names::input(session, call.registry(), &SqlType::Regclass, name)?;
    let catalog = &session.catalog;
    let table = catalog
        .table(RelationId(id))
        .ok_or_else(|| tessera_catalog::refusal::wrong_kind(name, "a table"))?;
    let column_name = str_of(&arguments[1]);
    let column = table
        .column(column_name)
        .ok_or_else(|| tessera_catalog::refusal::no_such_column(&table.name, column_name))?;
    let owned = catalog
        .owned_sequences(table.id)
        .into_iter()
        .find(|sequence| {
            sequence
                .owned_by
                .is_some_and(|owner| owner.column == column.id)
        });
    Ok(opt_text(owned.map(|sequence| {
        names::qualified(&tessera_catalog::Relation::Sequence(Arc::clone(sequence)))
    })))
}

fn object_comment(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let catalog = &call.statement.session.catalog;
    let oid = oid_of(&arguments[0]);
    let class = arguments.get(1).map(str_of);
    if matches!(class, None | Some("pg_class"))
        && let Some(relation) = catalog.relation_by_id(RelationId(oid))
    {
        return Ok(opt_text(relation.comment()));
    }
    if matches!(class, None | Some("pg_namespace")) {
        let schema = catalog.schemas().find(|schema| schema.oid == oid);
        return Ok(opt_text(
            schema.and_then(|schema| schema.comment.as_deref()),
        ));
    }
    Ok(Value::Null)
}

fn column_comment(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    use tessera_catalog::Relation;
    let number = arguments[1]
        .as_i64()
        .and_then(|number| u16::try_from(number).ok())
        .unwrap_or(0);
    let id = RelationId(oid_of(&arguments[0]));
    let comment = match call.statement.session.catalog.relation_by_id(id) {
        Some(Relation::Table(table)) => table
            .column_by_id(number)
            .and_then(|column| column.comment.clone()),
        Some(Relation::View(view)) => usize::from(number)
            .checked_sub(1)
            .and_then(|at| view.columns.get(at))
            .and_then(|column| column.comment.clone()),
        _ => None,
    };
    Ok(opt_text(comment))
}

fn register_visibility(registry: &mut FunctionRegistry) {
    use SqlType::{Boolean, Oid, Regclass};
    let mut function = |scalar| add(registry, scalar);
    let strict = Strictness::Strict;
    function(row_function(
        "pg_table_is_visible",
        &[Oid],
        Boolean,
        strict,
        |call, arguments| {
            let session = &call.statement.session;
            let id = RelationId(oid_of(&arguments[0]));
            if !names::relation_exists(&session.catalog, id) {
                return Ok(Value::Null);
            }
            Ok(flag(names::relation_is_visible(session, id)))
        },
    ));
    // All of these live in `pg_catalog`, which is always on the path.
    for name in [
        "pg_type_is_visible",
        "pg_function_is_visible",
        "pg_collation_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_operator_is_visible",
        "pg_conversion_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_config_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_template_is_visible",
    ] {
        function(row_function(name, &[Oid], Boolean, strict, |_, _| {
            Ok(flag(true))
        }));
    }
    let no = row_function(
        "pg_relation_is_publishable",
        &[Regclass],
        Boolean,
        strict,
        |_, _| Ok(flag(false)),
    );
    function(no);
}

fn register_names(registry: &mut FunctionRegistry) {
    use SqlType::{BigInt, Boolean, Integer, Name, Text};
    let strict = Strictness::Strict;
    fn find(call: &Call<'_>, ty: &SqlType, name: &Value) -> Result<Value, Report> {
        let session = &call.statement.session;
        let found = names::find(session, call.registry(), ty, str_of(name)).unwrap_or(None);
        Ok(found
            .filter(|oid| *oid != 0)
            .map_or(Value::Null, Value::Oid))
    }
    let mut function = |scalar| add(registry, scalar);
    let ty = SqlType::Regclass;
    function(row_function(
        "to_regclass",
        &[Text],
        ty,
        strict,
        |call, arguments| find(call, &SqlType::Regclass, &arguments[0]),
    ));
    function(row_function(
        "to_regtype",
        &[Text],
        SqlType::Regtype,
        strict,
        |call, arguments| find(call, &SqlType::Regtype, &arguments[0]),
    ));
    let ty = SqlType::Regnamespace;
    function(row_function(
        "to_regnamespace",
        &[Text],
        ty,
        strict,
        |call, arguments| find(call, &SqlType::Regnamespace, &arguments[0]),
    ));
    function(row_function(
        "to_regrole",
        &[Text],
        SqlType::Regrole,
        strict,
        |call, arguments| find(call, &SqlType::Regrole, &arguments[0]),
    ));
    function(row_function(
        "to_regproc",
        &[Text],
        SqlType::Regproc,
        strict,
        |call, arguments| find(call, &SqlType::Regproc, &arguments[0]),
    ));
    function(row_function(
        "pg_encoding_to_char",
        &[Integer],
        Name,
        strict,
        |_, arguments| {
            let is_utf8 = arguments[0].as_i64() == Some(i64::from(server::UTF8));
            Ok(text(if is_utf8 { "UTF8" } else { "" }))
        },
    ));
    function(row_function(
        "pg_char_to_encoding",
        &[Name],
        Integer,
        strict,
        |_, arguments| {
            let name = str_of(&arguments[0]).to_ascii_lowercase().replace('-', "");
            Ok(Value::Integer(if name == "utf8" || name == "unicode" {
                server::UTF8
            } else {
                -1
            }))
        },
    ));
    function(row_function(
        "txid_current",
        &[],
        BigInt,
        strict,
        |call, _| Ok(super::rows::int8(call.statement.txn.id().0)),
    ));
    let names_array = Name.array_of();
    function(row_function(
        "current_schemas",
        &[Boolean],
        names_array,
        strict,
        |call, arguments| {
            let session = &call.statement.session;
            let with_implicit = matches!(arguments[0], Value::Boolean(true));
            let path = names::effective_path(session)
                .into_iter()
                .enumerate()
                .filter(|(at, name)| {
                    let is_implicit = *at == 0
                        && *name == "pg_catalog"
                        && !session
                            .search_path
                            .iter()
                            .any(|schema| schema == "pg_catalog");
                    (with_implicit || !is_implicit) && session.catalog.has_schema(name)
                });
            Ok(array(Name, path.map(|(_, name)| text(name))))
        },
    ));
}

fn register_sizes(registry: &mut FunctionRegistry) {
    use SqlType::{BigInt, Name, Numeric, Oid, Regclass, Text};
    let strict = Strictness::Strict;
    let mut function = |scalar| add(registry, scalar);
    for name in [
        "pg_relation_size",
        "pg_table_size",
        "pg_total_relation_size",
        "pg_indexes_size",
    ] {
        let size = match name {
            "pg_indexes_size" => index_bytes as RowFunction,
            "pg_total_relation_size" => total_bytes,
            _ => table_bytes,
        };
        function(row_function(name, &[Regclass], BigInt, strict, size));
    }
    function(row_function(
        "pg_relation_size",
        &[Regclass, Text],
        BigInt,
        strict,
        table_bytes,
    ));
    for (name, function_of) in [
        ("pg_cancel_backend", cancel_backend as RowFunction),
        ("pg_terminate_backend", terminate_backend as RowFunction),
    ] {
        function(row_function(
            name,
            &[SqlType::Integer],
            SqlType::Boolean,
            strict,
            function_of,
        ));
    }
    for argument in [Name, Oid] {
        function(row_function(
            "pg_database_size",
            &[argument],
            BigInt,
            strict,
            |call, _| {
                let found = call.executor.transactions().store().statistics();
                Ok(super::rows::int8(
                    found.base_bytes + found.log_bytes + found.runs_bytes,
                ))
            },
        ));
    }
    function(row_function(
        "pg_size_pretty",
        &[BigInt],
        Text,
        strict,
        |_, arguments| Ok(text(pretty_size(int8_of(&arguments[0])))),
    ));
    function(row_function(
        "pg_size_pretty",
        &[Numeric(None)],
        Text,
        strict,
        |_, arguments| {
            let bytes: i64 = match &arguments[0] {
                Value::Numeric(number) => number
                    .to_string()
                    .split('.')
                    .next()
                    .and_then(|whole| whole.parse().ok())
                    .unwrap_or(i64::MAX),
                other => int8_of(other),
            };
            Ok(text(pretty_size(bytes)))
        },
    ));
}

fn cancel_backend(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    signal(call, arguments, false)
}

fn terminate_backend(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    signal(call, arguments, true)
}

fn signal(call: &Call<'_>, arguments: &[Value], terminate: bool) -> Result<Value, Report> {
    let Value::Integer(process_id) = arguments[0] else {
        return Ok(Value::Null);
    };
    let session = &call.statement.session;
    match session.state.server.get() {
        Some(server) => Ok(Value::Boolean(server.signal(
            process_id,
            &session.user,
            terminate,
        )?)),
        None => Ok(Value::Boolean(false)),
    }
}

/// Estimated bytes of a relation: what ANALYZE found, or nothing.
fn table_bytes(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let id = RelationId(oid_of(&arguments[0]));
    let bytes = call
        .executor
        .catalog()
        .statistics(id)
        .map_or(0, |found| found.bytes);
    Ok(super::rows::int8(bytes))
}

/// Estimated bytes of a table's indexes: 40 per row and index.
fn index_bytes(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let id = RelationId(oid_of(&arguments[0]));
    let Some(table) = call.statement.session.catalog.table(id) else {
        return Ok(Value::BigInt(0));
    };
    let rows = call.executor.catalog().row_estimate(id).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
    let bytes = (rows * 40.0) as i64 * table.secondary_indexes().count() as i64;
    Ok(Value::BigInt(bytes))
}

fn total_bytes(call: &Call<'_>, arguments: &[Value]) -> Result<Value, Report> {
    let of = |size: RowFunction| size(call, arguments).map(|value| int8_of(&value));
    Ok(Value::BigInt(
        of(table_bytes)?.saturating_add(of(index_bytes)?),
    ))
}

/// PostgreSQL's `pg_size_pretty`: 10,239 of a unit is still written in that unit.
pub(super) fn pretty_size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    // Half units are kept until the end, for rounding.
    let mut halves = i128::from(bytes) * 2;
    let mut unit = 0;
    let is_small = |halves: i128| halves.abs() < 10 * 1024 * 2;
    while unit + 1 < UNITS.len() && !is_small(halves) {
        halves /= 1024;
        unit += 1;
    }
    let rounded = if unit == 0 {
        halves / 2
    } else if halves >= 0 {
        (halves + 1) / 2
    } else {
        (halves - 1) / 2
    };
    format!("{rounded} {}", UNITS[unit])
}

/// There are no grants: who may connect may use everything, as the engine says.
fn register_privileges(registry: &mut FunctionRegistry) {
    use SqlType::{Boolean, Name, Oid, SmallInt, Text};
    let strict = Strictness::Strict;
    let yes: RowFunction = |_, _| Ok(flag(true));
    for name in [
        "has_table_privilege",
        "has_schema_privilege",
        "has_database_privilege",
        "has_sequence_privilege",
        "has_function_privilege",
        "has_tablespace_privilege",
        "pg_has_role",
    ] {
        for object in [Text, Oid] {
            let two = [object.clone(), Text];
            add(registry, row_function(name, &two, Boolean, strict, yes));
            let three = [Name, object, Text];
            add(registry, row_function(name, &three, Boolean, strict, yes));
        }
    }
    for column in [Text, SmallInt] {
        for object in [Text, Oid] {
            let arguments = [object, column.clone(), Text];
            let name = "has_column_privilege";
            add(
                registry,
                row_function(name, &arguments, Boolean, strict, yes),
            );
        }
    }
}

fn register_sets(registry: &mut FunctionRegistry) {
    let regclass = || Argument::Exact(SqlType::Regclass);
    // No relation of ours is a partition.
    registry.set_returning(SetOverload {
        name: "pg_partition_ancestors".to_owned(),
        arguments: vec![regclass()],
        optional: 0,
        columns: SetColumns::One(Returns::Exact(SqlType::Regclass)),
        rows: Arc::new(|_, _| Ok(Box::new(std::iter::empty()))),
    });
    registry.set_returning(SetOverload {
        name: "_pg_expandarray".to_owned(),
        arguments: vec![Argument::Exact(SqlType::SmallInt.array_of())],
        optional: 0,
        columns: SetColumns::Record(vec![
            ("x".to_owned(), SqlType::SmallInt),
            ("n".to_owned(), SqlType::Integer),
        ]),
        rows: Arc::new(|arguments, _| {
            let elements = match &arguments[0] {
                Value::Array(array) => array.elements.clone(),
                _ => Vec::new(),
            };
            Ok(Box::new(elements.into_iter().enumerate().map(
                |(at, value)| Ok(vec![value, super::rows::int4(at + 1)]),
            )))
        }),
    });
    registry.set_returning(SetOverload {
        name: "pg_options_to_table".to_owned(),
        arguments: vec![Argument::Exact(SqlType::Text.array_of())],
        optional: 0,
        columns: SetColumns::Record(vec![
            ("option_name".to_owned(), SqlType::Text),
            ("option_value".to_owned(), SqlType::Text),
        ]),
        rows: Arc::new(|_, _| Ok(Box::new(std::iter::empty()))),
    });
}

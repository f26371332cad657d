//! Every SQLSTATE the server uses, with its meaning, its remedy and its retry class.
//!
//! The table is the source of `docs/reference/errors.md`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::report::Retry;

/// A five-character SQLSTATE; the one vocabulary of error codes on every protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// From five bytes of `A`–`Z` and `0`–`9`; anything else becomes `XX000`.
    pub const fn new(code: [u8; 5]) -> SqlState {
        let mut i = 0;
        while i < 5 {
            if !(code[i].is_ascii_digit() || code[i].is_ascii_uppercase()) {
                return SqlState(*b"XX000");
            }
            i += 1;
        }
        SqlState(code)
    }

    /// From text, when it has the right form.
    pub fn from_text(code: &str) -> Option<SqlState> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        let state = SqlState::new(bytes);
        (state.0 == bytes).then_some(state)
    }

    /// The five characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The two characters of the class, such as `23`.
    pub fn class(&self) -> &str {
        &self.as_str()[..2]
    }

    /// What is known about the code.
    pub fn entry(self) -> Option<&'static CodeEntry> {
        TABLE.iter().find(|entry| entry.code == self)
    }

    /// Whether repeating the work may help.
    pub fn retry(self) -> Retry {
        self.entry().map_or(Retry::Never, |entry| entry.retry)
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SqlState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SqlState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SqlState, D::Error> {
        let text = String::deserialize(deserializer)?;
        SqlState::from_text(&text).ok_or_else(|| serde::de::Error::custom("not a SQLSTATE"))
    }
}

/// One row of the table of codes.
#[derive(Clone, Copy, Debug)]
pub struct CodeEntry {
    /// The SQLSTATE.
    pub code: SqlState,
    /// PostgreSQL's condition name.
    pub name: &'static str,
    /// Whether repeating the work may help.
    pub retry: Retry,
    /// What happened.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($constant:ident $code:literal $name:literal $retry:ident $meaning:literal $remedy:literal;)+) => {
        $(
            #[doc = concat!("`", $code, "`: ", $meaning)]
            pub const $constant: SqlState = {
                let bytes = $code.as_bytes();
                SqlState::new([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
            };
        )+

        /// Every code, ordered by class.
        pub const TABLE: &[CodeEntry] = &[
            $(CodeEntry {
                code: $constant,
                name: $name,
                retry: Retry::$retry,
                meaning: $meaning,
                remedy: $remedy,
            },)+
        ];
    };
}

codes! {
    SUCCESSFUL_COMPLETION "00000" "successful_completion" Never
        "The statement succeeded." "Nothing to do.";
    WARNING "01000" "warning" Never
        "The statement succeeded, with a remark." "Read the remark.";
    NO_DATA "02000" "no_data" Never
        "Nothing was found." "Check the key or the condition.";
    CONNECTION_EXCEPTION "08000" "connection_exception" Later
        "The connection failed." "Connect again.";
    CONNECTION_DOES_NOT_EXIST "08003" "connection_does_not_exist" Later
        "The connection is closed." "Connect again.";
    CONNECTION_FAILURE "08006" "connection_failure" Later
        "The connection broke." "Connect again; check whether the last transaction was committed.";
    TRANSACTION_RESOLUTION_UNKNOWN "08007" "transaction_resolution_unknown" Never
        "It is not known whether the transaction was committed." "Read the data before repeating the work.";
    PROTOCOL_VIOLATION "08P01" "protocol_violation" Never
        "The client sent a message that the protocol does not allow." "Update the driver, or report its bug.";
    TRIGGERED_ACTION_EXCEPTION "09000" "triggered_action_exception" Never
        "A triggered action failed." "See the detail.";
    FEATURE_NOT_SUPPORTED "0A000" "feature_not_supported" Never
        "The feature is known, and is not supported." "Write the statement in another way; see the SQL reference.";
    INVALID_TRANSACTION_INITIATION "0B000" "invalid_transaction_initiation" Never
        "A transaction cannot be started here." "End the current transaction first.";
    CARDINALITY_VIOLATION "21000" "cardinality_violation" Never
        "A subquery or ON CONFLICT met more rows than one." "Make the condition select one row.";
    DATA_EXCEPTION "22000" "data_exception" Never
        "A value is wrong for the operation." "See the message.";
    STRING_DATA_RIGHT_TRUNCATION "22001" "string_data_right_truncation" Never
        "A text is longer than its column allows." "Shorten the text or widen the column.";
    NULL_VALUE_NO_INDICATOR_PARAMETER "22002" "null_value_no_indicator_parameter" Never
        "NULL where the client cannot receive it." "Use a nullable variable.";
    NUMERIC_VALUE_OUT_OF_RANGE "22003" "numeric_value_out_of_range" Never
        "A number is too large or too small for its type." "Use a wider type.";
    NULL_VALUE_NOT_ALLOWED "22004" "null_value_not_allowed" Never
        "NULL is not allowed here." "Supply a value.";
    INVALID_DATETIME_FORMAT "22007" "invalid_datetime_format" Never
        "A date or time is not written in a known form." "Write it as 2024-05-17 or 2024-05-17 12:30:00+00.";
    DATETIME_FIELD_OVERFLOW "22008" "datetime_field_overflow" Never
        "A date or time field, or its result, is out of range." "Check day, month and year.";
    INVALID_TIME_ZONE_DISPLACEMENT_VALUE "22009" "invalid_time_zone_displacement_value" Never
        "A time zone offset is out of range." "Offsets lie between -15:59:59 and +15:59:59.";
    ESCAPE_CHARACTER_CONFLICT "2200B" "escape_character_conflict" Never
        "The escape character collides with another one." "Choose another escape character.";
    INVALID_ROW_COUNT_IN_LIMIT_CLAUSE "2201W" "invalid_row_count_in_limit_clause" Never
        "LIMIT is negative." "Use zero or more.";
    INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE "2201X" "invalid_row_count_in_result_offset_clause" Never
        "OFFSET is negative." "Use zero or more.";
    INVALID_ARGUMENT_FOR_LOG "2201E" "invalid_argument_for_logarithm" Never
        "The logarithm of zero or of a negative number." "Check the argument.";
    INVALID_ARGUMENT_FOR_POWER_FUNCTION "2201F" "invalid_argument_for_power_function" Never
        "A power that has no real result." "Check the arguments.";
    INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION "2201G" "invalid_argument_for_width_bucket_function" Never
        "The arguments of width_bucket are wrong." "Bounds must differ and the count be positive.";
    INVALID_ARGUMENT_FOR_NTILE "22014" "invalid_argument_for_ntile_function" Never
        "The argument of ntile is not positive." "Use one or more.";
    INVALID_ARGUMENT_FOR_NTH_VALUE "22016" "invalid_argument_for_nth_value_function" Never
        "The argument of nth_value is not positive." "Use one or more.";
    SUBSTRING_ERROR "22011" "substring_error" Never
        "A substring has a negative length." "Check the arguments.";
    DIVISION_BY_ZERO "22012" "division_by_zero" Never
        "A division by zero." "Guard the divisor with nullif(x, 0).";
    INVALID_PRECEDING_OR_FOLLOWING_SIZE "22013" "invalid_preceding_or_following_size" Never
        "A window frame offset is negative or NULL." "Use zero or more.";
    INTERVAL_FIELD_OVERFLOW "22015" "interval_field_overflow" Never
        "An interval field is out of range." "Use a smaller interval.";
    INVALID_CHARACTER_VALUE_FOR_CAST "22018" "invalid_character_value_for_cast" Never
        "A text cannot be cast." "Check the text.";
    INVALID_ESCAPE_CHARACTER "22019" "invalid_escape_character" Never
        "The escape is longer than one character." "Use one character.";
    CHARACTER_NOT_IN_REPERTOIRE "22021" "character_not_in_repertoire" Never
        "A text is not valid UTF-8 or contains a zero byte." "Send UTF-8; use bytea for raw bytes.";
    INDICATOR_OVERFLOW "22022" "indicator_overflow" Never
        "An indicator is out of range." "Use a wider variable.";
    INVALID_PARAMETER_VALUE "22023" "invalid_parameter_value" Never
        "An argument or a setting has a value that is not allowed." "See the message for what is allowed.";
    UNTERMINATED_C_STRING "22024" "unterminated_c_string" Never
        "A protocol string has no end." "Update the driver.";
    INVALID_ESCAPE_SEQUENCE "22025" "invalid_escape_sequence" Never
        "An escape sequence is wrong, or LIKE ends with its escape character." "Double the escape character.";
    STRING_DATA_LENGTH_MISMATCH "22026" "string_data_length_mismatch" Never
        "A text does not have the exact length needed." "Check the length.";
    TRIM_ERROR "22027" "trim_error" Never
        "TRIM was given more than one character." "Use btrim.";
    ARRAY_SUBSCRIPT_ERROR "2202E" "array_subscript_error" Never
        "Array dimensions or subscripts do not fit." "Check the bounds.";
    INVALID_REGULAR_EXPRESSION "2201B" "invalid_regular_expression" Never
        "A regular expression is malformed or too large." "Check the pattern.";
    INVALID_JSON_TEXT "22032" "invalid_json_text" Never
        "A text is not JSON." "Check the text.";
    DUPLICATE_JSON_OBJECT_KEY_VALUE "22030" "duplicate_json_object_key_value" Never
        "A JSON object has a key twice." "Remove the second one.";
    FLOATING_POINT_EXCEPTION "22P01" "floating_point_exception" Never
        "A floating point operation failed." "Check the arguments.";
    INVALID_TEXT_REPRESENTATION "22P02" "invalid_text_representation" Never
        "A text is not a value of the type." "Check the text against the type's input format.";
    INVALID_BINARY_REPRESENTATION "22P03" "invalid_binary_representation" Never
        "Bytes are not a value of the type in binary format." "Check the driver's parameter type.";
    BAD_COPY_FILE_FORMAT "22P04" "bad_copy_file_format" Never
        "COPY data is malformed." "See the line named in the context.";
    UNTRANSLATABLE_CHARACTER "22P05" "untranslatable_character" Never
        "A character cannot be stored or converted." "Remove the character, such as \\u0000 in JSON.";
    INTEGRITY_CONSTRAINT_VIOLATION "23000" "integrity_constraint_violation" Never
        "A constraint was violated." "See the detail.";
    RESTRICT_VIOLATION "23001" "restrict_violation" Never
        "Other rows still refer to this one." "Remove them first.";
    NOT_NULL_VIOLATION "23502" "not_null_violation" Never
        "NULL in a column that does not allow it." "Supply a value or a default.";
    FOREIGN_KEY_VIOLATION "23503" "foreign_key_violation" Never
        "A reference has no target, or a target is still referred to." "See the detail for the key.";
    UNIQUE_VIOLATION "23505" "unique_violation" Never
        "A key exists already." "Use another key, or INSERT … ON CONFLICT.";
    CHECK_VIOLATION "23514" "check_violation" Never
        "A row fails a CHECK constraint." "See the constraint named.";
    EXCLUSION_VIOLATION "23P01" "exclusion_violation" Never
        "A row collides with another under an exclusion constraint." "Change the row.";
    INVALID_CURSOR_STATE "24000" "invalid_cursor_state" Never
        "The cursor is not at a row, or not open." "Open it again.";
    INVALID_TRANSACTION_STATE "25000" "invalid_transaction_state" Never
        "The transaction is in the wrong state." "See the message.";
    ACTIVE_SQL_TRANSACTION "25001" "active_sql_transaction" Never
        "The statement cannot run inside a transaction block, or one has begun already." "Commit first.";
    READ_ONLY_SQL_TRANSACTION "25006" "read_only_sql_transaction" Never
        "A write in a read-only transaction, or the server is read-only." "Use a read-write transaction; see the server log for the reason.";
    NO_ACTIVE_SQL_TRANSACTION "25P01" "no_active_sql_transaction" Never
        "There is no transaction in progress." "BEGIN first.";
    IN_FAILED_SQL_TRANSACTION "25P02" "in_failed_sql_transaction" Transaction
        "An earlier statement failed; the transaction only waits for its end." "ROLLBACK, or ROLLBACK TO a savepoint.";
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT "25P03" "idle_in_transaction_session_timeout" Transaction
        "A transaction stayed idle for too long and was ended." "Keep transactions short, or raise idle_in_transaction_session_timeout.";
    INVALID_SQL_STATEMENT_NAME "26000" "invalid_sql_statement_name" Never
        "There is no prepared statement of that name." "PREPARE it on this connection.";
    INVALID_AUTHORIZATION_SPECIFICATION "28000" "invalid_authorization_specification" Never
        "The login was refused." "Check user name, database and address.";
    INVALID_PASSWORD "28P01" "invalid_password" Never
        "User name or password is wrong." "Check both; an administrator may set a new password.";
    DEPENDENT_OBJECTS_STILL_EXIST "2BP01" "dependent_objects_still_exist" Never
        "Other objects depend on this one." "Drop them first, or use CASCADE.";
    INVALID_TRANSACTION_TERMINATION "2D000" "invalid_transaction_termination" Never
        "The transaction cannot be ended here." "End it on the session that began it.";
    SQL_ROUTINE_EXCEPTION "2F000" "sql_routine_exception" Never
        "A function failed." "See the message.";
    INVALID_CURSOR_NAME "34000" "invalid_cursor_name" Never
        "There is no portal or cursor of that name." "Bind or declare it first; portals end with their transaction.";
    INVALID_SAVEPOINT_SPECIFICATION "3B001" "invalid_savepoint_specification" Never
        "There is no savepoint of that name." "Check the name; a rollback to an earlier one removes it.";
    INVALID_CATALOG_NAME "3D000" "invalid_catalog_name" Never
        "There is no database of that name." "Connect to the database tessera.";
    INVALID_SCHEMA_NAME "3F000" "invalid_schema_name" Never
        "There is no schema of that name." "Create it, or check search_path.";
    TRANSACTION_ROLLBACK "40000" "transaction_rollback" Transaction
        "The transaction was rolled back." "Run it again.";
    SERIALIZATION_FAILURE "40001" "serialization_failure" Transaction
        "Another transaction changed the same data first." "Run the whole transaction again.";
    STATEMENT_COMPLETION_UNKNOWN "40003" "statement_completion_unknown" Never
        "It is not known whether the statement took effect." "Read the data before repeating the work.";
    DEADLOCK_DETECTED "40P01" "deadlock_detected" Transaction
        "Transactions waited for each other; this one was chosen to give way." "Run it again; take locks in one order.";
    SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION "42000" "syntax_error_or_access_rule_violation" Never
        "The statement is wrong or not allowed." "See the message.";
    SYNTAX_ERROR "42601" "syntax_error" Never
        "The statement is not valid SQL." "See the position.";
    INSUFFICIENT_PRIVILEGE "42501" "insufficient_privilege" Never
        "The user may not do this." "Ask an administrator.";
    CANNOT_COERCE "42846" "cannot_coerce" Never
        "There is no cast between the two types." "Cast by way of another type.";
    GROUPING_ERROR "42803" "grouping_error" Never
        "A column is neither grouped nor aggregated, or an aggregate is misplaced." "Add it to GROUP BY.";
    WINDOWING_ERROR "42P20" "windowing_error" Never
        "A window function is misplaced or its window is wrong." "See the message.";
    INVALID_RECURSION "42P19" "invalid_recursion" Never
        "A recursive query has a form that is not allowed." "See the message.";
    INVALID_FOREIGN_KEY "42830" "invalid_foreign_key" Never
        "A foreign key does not fit its target." "The target columns need a unique constraint.";
    INVALID_NAME "42602" "invalid_name" Never
        "A name is not well formed." "Check the quoting.";
    NAME_TOO_LONG "42622" "name_too_long" Never
        "A name is longer than 63 bytes." "Shorten it.";
    RESERVED_NAME "42939" "reserved_name" Never
        "The name is reserved for the system." "Choose another one.";
    DATATYPE_MISMATCH "42804" "datatype_mismatch" Never
        "An expression has another type than the place needs." "Add a cast.";
    INDETERMINATE_DATATYPE "42P18" "indeterminate_datatype" Never
        "The type of a parameter or literal cannot be found out." "Add a cast, such as $1::int.";
    COLLATION_MISMATCH "42P21" "collation_mismatch" Never
        "Two collations collide." "Name one with COLLATE.";
    WRONG_OBJECT_TYPE "42809" "wrong_object_type" Never
        "The object is of another kind." "Use the statement for its kind.";
    GENERATED_ALWAYS "428C9" "generated_always" Never
        "A value was given for a column that is always generated." "Leave it out, or use OVERRIDING SYSTEM VALUE.";
    UNDEFINED_COLUMN "42703" "undefined_column" Never
        "There is no such column." "Check spelling and quoting; see the hint.";
    UNDEFINED_FUNCTION "42883" "undefined_function" Never
        "There is no function or operator for these argument types." "Check the name, or add casts.";
    UNDEFINED_TABLE "42P01" "undefined_table" Never
        "There is no such table or view." "Check spelling, quoting and search_path.";
    UNDEFINED_PARAMETER "42P02" "undefined_parameter" Never
        "There is no such parameter." "Parameters are $1, $2, …";
    UNDEFINED_OBJECT "42704" "undefined_object" Never
        "There is no such type, setting, user, index or other object." "Check the name.";
    DUPLICATE_COLUMN "42701" "duplicate_column" Never
        "A column is named twice." "Rename one.";
    DUPLICATE_CURSOR "42P03" "duplicate_cursor" Never
        "A portal or cursor of that name is open." "Close it first.";
    DUPLICATE_DATABASE "42P04" "duplicate_database" Never
        "A database of that name exists." "Choose another name.";
    DUPLICATE_PREPARED_STATEMENT "42P05" "duplicate_prepared_statement" Never
        "A prepared statement of that name exists." "DEALLOCATE it first.";
    DUPLICATE_SCHEMA "42P06" "duplicate_schema" Never
        "A schema of that name exists." "Use IF NOT EXISTS, or another name.";
    DUPLICATE_TABLE "42P07" "duplicate_table" Never
        "A table, index, view or sequence of that name exists." "Use IF NOT EXISTS, or another name.";
    DUPLICATE_ALIAS "42712" "duplicate_alias" Never
        "A table name or alias appears twice in FROM." "Give one another alias.";
    DUPLICATE_OBJECT "42710" "duplicate_object" Never
        "An object of that name exists." "Choose another name.";
    DUPLICATE_FUNCTION "42723" "duplicate_function" Never
        "A function with these arguments exists." "Choose another name.";
    AMBIGUOUS_COLUMN "42702" "ambiguous_column" Never
        "A column name fits more than one table." "Write table.column.";
    AMBIGUOUS_FUNCTION "42725" "ambiguous_function" Never
        "More than one function or operator fits." "Add casts.";
    AMBIGUOUS_PARAMETER "42P08" "ambiguous_parameter" Never
        "A parameter is used with two types." "Add a cast.";
    AMBIGUOUS_ALIAS "42P09" "ambiguous_alias" Never
        "An alias fits more than one item." "Rename one.";
    INVALID_COLUMN_REFERENCE "42P10" "invalid_column_reference" Never
        "A column reference is not allowed here, or no unique constraint fits ON CONFLICT." "Name columns of a unique index.";
    INVALID_COLUMN_DEFINITION "42611" "invalid_column_definition" Never
        "A column is not well defined." "See the message.";
    INVALID_CURSOR_DEFINITION "42P11" "invalid_cursor_definition" Never
        "A cursor is not well defined." "See the message.";
    INVALID_DATABASE_DEFINITION "42P12" "invalid_database_definition" Never
        "A database is not well defined." "See the message.";
    INVALID_FUNCTION_DEFINITION "42P13" "invalid_function_definition" Never
        "A function is not well defined." "See the message.";
    INVALID_PREPARED_STATEMENT_DEFINITION "42P14" "invalid_prepared_statement_definition" Never
        "A prepared statement is not well defined." "See the message.";
    INVALID_SCHEMA_DEFINITION "42P15" "invalid_schema_definition" Never
        "A schema is not well defined." "See the message.";
    INVALID_TABLE_DEFINITION "42P16" "invalid_table_definition" Never
        "A table or view is not well defined." "See the message.";
    INVALID_OBJECT_DEFINITION "42P17" "invalid_object_definition" Never
        "An object is not well defined." "See the message.";
    WITH_CHECK_OPTION_VIOLATION "44000" "with_check_option_violation" Never
        "A row does not belong to the view." "Change the row.";
    INSUFFICIENT_RESOURCES "53000" "insufficient_resources" Later
        "A resource is used up." "Try again later.";
    DISK_FULL "53100" "disk_full" Later
        "The disk is full; reads go on, nothing acknowledged is lost." "Free space; writes resume by themselves.";
    OUT_OF_MEMORY "53200" "out_of_memory" Later
        "The statement needs more memory than the budget allows." "Reduce the result, or raise the memory budget.";
    TOO_MANY_CONNECTIONS "53300" "too_many_connections" Later
        "All connection slots are in use." "Close connections, or use a pool.";
    CONFIGURATION_LIMIT_EXCEEDED "53400" "configuration_limit_exceeded" Later
        "A configured limit is reached." "See the message for the limit.";
    PROGRAM_LIMIT_EXCEEDED "54000" "program_limit_exceeded" Never
        "A fixed limit is exceeded." "See the message for the limit.";
    STATEMENT_TOO_COMPLEX "54001" "statement_too_complex" Never
        "The statement or value is nested too deeply." "Simplify it.";
    TOO_MANY_COLUMNS "54011" "too_many_columns" Never
        "Too many columns." "Split the table or query.";
    TOO_MANY_ARGUMENTS "54023" "too_many_arguments" Never
        "Too many arguments." "Use an array.";
    OBJECT_NOT_IN_PREREQUISITE_STATE "55000" "object_not_in_prerequisite_state" Never
        "The object is not in the state needed." "See the message.";
    OBJECT_IN_USE "55006" "object_in_use" Later
        "The object is in use." "Try again when it is free.";
    CANT_CHANGE_RUNTIME_PARAM "55P02" "cant_change_runtime_param" Never
        "The setting cannot be changed now." "Set it in the configuration file.";
    LOCK_NOT_AVAILABLE "55P03" "lock_not_available" Transaction
        "A lock was not granted in time, or at once with NOWAIT." "Try again; see who holds it in the detail.";
    OPERATOR_INTERVENTION "57000" "operator_intervention" Later
        "An operator intervened." "Try again later.";
    QUERY_CANCELED "57014" "query_canceled" Statement
        "The statement was cancelled or ran into statement_timeout." "Run it again, or raise the timeout.";
    ADMIN_SHUTDOWN "57P01" "admin_shutdown" Later
        "The server shuts down, or an administrator ended the session." "Connect again.";
    CRASH_SHUTDOWN "57P02" "crash_shutdown" Later
        "The server stopped after a fault." "Connect again.";
    CANNOT_CONNECT_NOW "57P03" "cannot_connect_now" Later
        "The server is starting or stopping." "Connect again in a moment.";
    DATABASE_DROPPED "57P04" "database_dropped" Never
        "The database was dropped." "Connect to another one.";
    IDLE_SESSION_TIMEOUT "57P05" "idle_session_timeout" Later
        "The session stayed idle for too long." "Connect again.";
    SYSTEM_ERROR "58000" "system_error" Later
        "The operating system reported an error." "See the server log.";
    IO_ERROR "58030" "io_error" Later
        "Reading or writing a file failed." "Check the disk and the server log.";
    UNDEFINED_FILE "58P01" "undefined_file" Never
        "A file does not exist." "Check the path.";
    DUPLICATE_FILE "58P02" "duplicate_file" Never
        "A file exists already." "Choose another path.";
    SNAPSHOT_TOO_OLD "72000" "snapshot_too_old" Transaction
        "The transaction's snapshot needs versions that are gone." "Run it again; keep transactions short.";
    CONFIG_FILE_ERROR "F0000" "config_file_error" Never
        "The configuration is wrong." "Run tessera config check.";
    LOCK_FILE_EXISTS "F0001" "lock_file_exists" Never
        "Another server uses the data directory." "Stop it, or use another directory.";
    RAISE_EXCEPTION "P0001" "raise_exception" Never
        "Raised by a user's own code." "See the message.";
    INTERNAL_ERROR "XX000" "internal_error" Never
        "A bug in the server." "Report it with the server log.";
    DATA_CORRUPTED "XX001" "data_corrupted" Never
        "Stored data is damaged; the server is read-only." "Run tessera check; restore from a backup.";
    INDEX_CORRUPTED "XX002" "index_corrupted" Never
        "An index is damaged." "Drop and create it again; run tessera check.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_unique_and_well_formed() {
        let mut codes = HashSet::new();
        let mut names = HashSet::new();
        for entry in TABLE {
            assert!(codes.insert(entry.code), "{} twice", entry.code);
            assert!(names.insert(entry.name), "{} twice", entry.name);
            assert_eq!(SqlState::from_text(entry.code.as_str()), Some(entry.code));
            assert!(entry.meaning.ends_with('.'), "{}", entry.name);
        }
    }

    #[test]
    fn malformed_codes_become_internal_errors() {
        assert_eq!(SqlState::new(*b"23a05"), INTERNAL_ERROR);
        assert_eq!(SqlState::from_text("2350"), None);
        assert_eq!(SqlState::from_text("23505"), Some(UNIQUE_VIOLATION));
    }
}

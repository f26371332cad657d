//! A scalar overload as DataFusion sees it.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use tessera_types::SqlType;

use super::{Argument, Kernel, Returns, ScalarOverload};
use crate::arrow_types::{field_of, sql_type_of};

/// The DataFusion function of one overload.
struct KernelFunction {
    name: String,
    identity: String,
    arguments: Vec<Argument>,
    returns: Returns,
    signature: Signature,
    kernel: Kernel,
}

/// Makes the DataFusion function of an overload.
pub(super) fn udf_of(overload: &ScalarOverload, kernel: Kernel) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(KernelFunction {
        name: overload.name.clone(),
        identity: format!("{}{:?}", overload.name, overload.arguments),
        arguments: overload.arguments.clone(),
        returns: overload.returns.clone(),
        // Any number of arguments: the binder has chosen and cast them. `VariadicAny` alone means one or more.
        signature: Signature::one_of(
            vec![TypeSignature::VariadicAny, TypeSignature::Nullary],
            overload.volatility,
        ),
        kernel,
    }))
}

/// Stands in until an overload is complete; never called.
pub(super) fn placeholder() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(KernelFunction {
        name: String::new(),
        identity: String::new(),
        arguments: Vec::new(),
        returns: Returns::Exact(SqlType::Unknown),
        signature: Signature::nullary(Volatility::Volatile),
        kernel: Arc::new(|_| internal_err!("function called before it was registered")),
    }))
}

/// The Arrow field of a result.
pub(crate) fn result_field(
    name: &str,
    arguments: &[Argument],
    returns: &Returns,
    fields: &[FieldRef],
) -> Result<FieldRef> {
    let element = || {
        for (argument, field) in arguments.iter().zip(fields) {
            match (argument, sql_type_of(field)) {
                (Argument::AnyElement, sql_type) => return sql_type,
                (Argument::AnyArray, SqlType::Array(element)) => return *element,
                _ => {}
            }
        }
        SqlType::Text
    };
    let sql_type = match returns {
        Returns::Exact(sql_type) => sql_type.clone(),
        Returns::Element => {
            // A decimal keeps its scale: take the argument's own field where there is one.
            let own = arguments
                .iter()
                .zip(fields)
                .find(|(a, _)| **a == Argument::AnyElement);
            if let Some((_, field)) = own {
                return Ok(Arc::new(
                    field.as_ref().clone().with_name(name).with_nullable(true),
                ));
            }
            element()
        }
        Returns::Array => SqlType::Array(Box::new(element())),
        Returns::Computed(compute) => compute(
            &fields
                .iter()
                .map(|field| sql_type_of(field))
                .collect::<Vec<_>>(),
        ),
        Returns::Field(compute) => return compute(fields),
    };
    Ok(Arc::new(field_of(name, &sql_type, true)))
}

impl ScalarUDFImpl for KernelFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the result's type comes from return_field_from_args")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        result_field(&self.name, &self.arguments, &self.returns, args.arg_fields)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.kernel)(args)
    }
}

impl std::fmt::Debug for KernelFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.identity)
    }
}

impl PartialEq for KernelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for KernelFunction {}

impl Hash for KernelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}

// Checked here because `ScalarUDFImpl: Any` is easy to lose by a borrowed field.
const _: fn() = || {
    fn is_any<T: Any>() {}
    is_any::<KernelFunction>();
};

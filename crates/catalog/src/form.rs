//! How types and values look in stored definitions.

/// A type as its PostgreSQL oid and modifier: both never change, unlike names in our code.
pub(crate) mod sql_type_form {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use tessera_types::SqlType;

    #[derive(Serialize, Deserialize)]
    struct Form {
        oid: u32,
        typmod: i32,
    }

    pub(crate) fn serialize<S: Serializer>(ty: &SqlType, out: S) -> Result<S::Ok, S::Error> {
        Form {
            oid: ty.oid(),
            typmod: ty.typmod(),
        }
        .serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SqlType, D::Error> {
        let form = Form::deserialize(from)?;
        SqlType::from_oid(form.oid, form.typmod)
            .ok_or_else(|| D::Error::custom(format!("unknown type oid {}", form.oid)))
    }
}

/// An optional value as the oid of its type and PostgreSQL's text form.
pub(crate) mod value_form {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use tessera_types::{FormatContext, SqlType, Value, text};

    #[derive(Serialize, Deserialize)]
    struct Form {
        oid: u32,
        text: String,
    }

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Value>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        let form = value
            .as_ref()
            .filter(|value| !value.is_null())
            .map(|value| {
                let ty = value.natural_type();
                let mut bytes = Vec::new();
                text::write(value.as_ref(), &ty, &FormatContext::default(), &mut bytes);
                Form {
                    oid: ty.oid(),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                }
            });
        form.serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Value>, D::Error> {
        let Some(form) = Option::<Form>::deserialize(from)? else {
            return Ok(None);
        };
        let ty = SqlType::from_oid(form.oid, -1)
            .ok_or_else(|| D::Error::custom(format!("unknown type oid {}", form.oid)))?;
        text::parse(&ty, &form.text, &FormatContext::default())
            .map(Some)
            .map_err(D::Error::custom)
    }
}

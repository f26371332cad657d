//! What a collection is: options, schema, indexes; as a tree and as bytes.

use serde_json::{Map, Value, json};
use tessera_codec::json::{JsonBuf, JsonRef};
use tessera_types::RelationId;

use crate::error::{DocumentError, Result};
use crate::path::integer_of;

/// Indexes of one collection.
pub const INDEXES_MAX: usize = 64;
/// Fields of one index.
pub const INDEX_FIELDS_MAX: usize = 16;

/// Who gives a new document its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdPolicy {
    /// The client if it likes, otherwise the server (UUID version 7).
    #[default]
    Any,
    /// Always the client.
    Client,
    /// Always the server.
    Server,
}

/// Properties of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionOptions {
    /// Who gives ids.
    pub id_policy: IdPolicy,
}

/// One field of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexField {
    /// Dotted path.
    pub path: String,
    /// Largest first.
    pub descending: bool,
}

/// What an index holds.
#[derive(Clone, Debug, PartialEq)]
pub enum IndexKind {
    /// The values at one path or several. Over arrays there is an entry per element (multikey).
    Paths {
        /// The paths, most significant first.
        fields: Vec<IndexField>,
        /// No two documents have an entry in common. A missing field counts as `null`, as in
        /// MongoDB; `sparse` or `partial` leave such documents out.
        unique: bool,
        /// Documents that have none of the fields have no entry.
        sparse: bool,
        /// Only documents that match this filter have entries.
        partial: Option<Value>,
    },
    /// When each document expires. The field holds an RFC 3339 text or a number of milliseconds
    /// since 1970; of an array the earliest date counts; documents without a date never expire.
    Ttl {
        /// Dotted path of the date.
        path: String,
        /// How long after that date.
        after_seconds: u32,
    },
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexDef {
    /// Its own storage.
    pub id: RelationId,
    /// Its name, unique in the collection.
    pub name: String,
    /// What it holds.
    pub kind: IndexKind,
}

/// A collection.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionDef {
    /// Its storage, and its name in the lock table.
    pub id: RelationId,
    /// Its name, for messages.
    pub name: String,
    /// Secondary indexes.
    pub indexes: Vec<IndexDef>,
    /// JSON Schema (2020-12) that every document follows.
    pub schema: Option<Value>,
    /// Properties.
    pub options: CollectionOptions,
}

impl IndexDef {
    /// An index over paths, ascending, neither unique nor sparse nor partial.
    pub fn on(id: RelationId, name: &str, paths: &[&str]) -> IndexDef {
        let fields = paths.iter().map(|path| IndexField {
            path: (*path).to_owned(),
            descending: false,
        });
        IndexDef {
            id,
            name: name.to_owned(),
            kind: IndexKind::Paths {
                fields: fields.collect(),
                unique: false,
                sparse: false,
                partial: None,
            },
        }
    }

    /// The same index, unique.
    pub fn unique(mut self) -> IndexDef {
        if let IndexKind::Paths { unique, .. } = &mut self.kind {
            *unique = true;
        }
        self
    }

    /// The same index, sparse.
    pub fn sparse(mut self) -> IndexDef {
        if let IndexKind::Paths { sparse, .. } = &mut self.kind {
            *sparse = true;
        }
        self
    }

    /// The same index, of the documents that match a filter.
    pub fn partial(mut self, filter: Value) -> IndexDef {
        if let IndexKind::Paths { partial, .. } = &mut self.kind {
            *partial = Some(filter);
        }
        self
    }

    /// As a tree: `{"id", "name", "fields": [{"path", "descending"}], "unique", "sparse",
    /// "partial"}` or `{"id", "name", "ttl": {"path", "after_seconds"}}`.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".into(), self.id.0.into());
        out.insert("name".into(), self.name.clone().into());
        match &self.kind {
            IndexKind::Paths {
                fields,
                unique,
                sparse,
                partial,
            } => {
                let fields = fields
                    .iter()
                    .map(|field| json!({"path": field.path, "descending": field.descending}));
                out.insert("fields".into(), fields.collect());
                out.insert("unique".into(), (*unique).into());
                out.insert("sparse".into(), (*sparse).into());
                if let Some(partial) = partial {
                    out.insert("partial".into(), partial.clone());
                }
            }
            IndexKind::Ttl {
                path,
                after_seconds,
            } => {
                let ttl = json!({"path": path, "after_seconds": after_seconds});
                out.insert("ttl".into(), ttl);
            }
        }
        Value::Object(out)
    }

    /// From a tree of that form. `unique`, `sparse` and `descending` may be absent.
    pub fn from_value(value: &Value) -> Result<IndexDef> {
        let reader = Reader {
            what: "index",
            value,
        };
        reader.only(&["id", "name", "fields", "unique", "sparse", "partial", "ttl"])?;
        let kind = match value.get("ttl") {
            Some(ttl) => {
                let ttl = Reader {
                    what: "index",
                    value: ttl,
                };
                ttl.only(&["path", "after_seconds"])?;
                IndexKind::Ttl {
                    path: ttl.text("path")?,
                    after_seconds: ttl.u32("after_seconds")?,
                }
            }
            None => {
                let fields = value.get("fields").and_then(Value::as_array);
                let fields = fields.ok_or_else(|| reader.wrong("fields", "an array"))?;
                IndexKind::Paths {
                    fields: fields
                        .iter()
                        .map(|field| {
                            let field = Reader {
                                what: "index",
                                value: field,
                            };
                            field.only(&["path", "descending"])?;
                            Ok(IndexField {
                                path: field.text("path")?,
                                descending: field.flag("descending")?,
                            })
                        })
                        .collect::<Result<_>>()?,
                    unique: reader.flag("unique")?,
                    sparse: reader.flag("sparse")?,
                    partial: value.get("partial").cloned(),
                }
            }
        };
        Ok(IndexDef {
            id: RelationId(reader.u32("id")?),
            name: reader.text("name")?,
            kind,
        })
    }
}

impl CollectionDef {
    /// A collection without indexes and schema.
    pub fn new(id: RelationId, name: impl Into<String>) -> CollectionDef {
        CollectionDef {
            id,
            name: name.into(),
            indexes: Vec::new(),
            schema: None,
            options: CollectionOptions::default(),
        }
    }

    /// As a tree: `{"id", "name", "indexes", "schema", "id_policy"}`.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".into(), self.id.0.into());
        out.insert("name".into(), self.name.clone().into());
        let indexes = self.indexes.iter().map(IndexDef::to_value);
        out.insert("indexes".into(), indexes.collect());
        if let Some(schema) = &self.schema {
            out.insert("schema".into(), schema.clone());
        }
        let policy = match self.options.id_policy {
            IdPolicy::Any => "any",
            IdPolicy::Client => "client",
            IdPolicy::Server => "server",
        };
        out.insert("id_policy".into(), policy.into());
        Value::Object(out)
    }

    /// From a tree of that form.
    pub fn from_value(value: &Value) -> Result<CollectionDef> {
        let reader = Reader {
            what: "collection",
            value,
        };
        reader.only(&["id", "name", "indexes", "schema", "id_policy"])?;
        let indexes = match value.get("indexes") {
            None => Vec::new(),
            Some(Value::Array(indexes)) => indexes
                .iter()
                .map(IndexDef::from_value)
                .collect::<Result<_>>()?,
            Some(_) => return Err(reader.wrong("indexes", "an array")),
        };
        let id_policy = match value.get("id_policy").map(Value::as_str) {
            None | Some(Some("any")) => IdPolicy::Any,
            Some(Some("client")) => IdPolicy::Client,
            Some(Some("server")) => IdPolicy::Server,
            Some(_) => return Err(reader.wrong("id_policy", "any, client or server")),
        };
        Ok(CollectionDef {
            id: RelationId(reader.u32("id")?),
            name: reader.text("name")?,
            indexes,
            schema: value.get("schema").cloned(),
            options: CollectionOptions { id_policy },
        })
    }

    /// For the catalog: the tree as binary JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(JsonBuf::from_value(&self.to_value())?.as_bytes().to_vec())
    }

    /// From the catalog.
    pub fn from_bytes(bytes: &[u8]) -> Result<CollectionDef> {
        CollectionDef::from_value(&JsonRef::document(bytes)?.to_value()?)
    }
}

/// Reads members of an object.
struct Reader<'a> {
    what: &'static str,
    value: &'a Value,
}

impl Reader<'_> {
    fn wrong(&self, member: &str, expected: &str) -> DocumentError {
        DocumentError::definition(self.what, format!("\"{member}\" must be {expected}"))
    }

    fn only(&self, members: &[&str]) -> Result<()> {
        let Value::Object(pairs) = self.value else {
            return Err(DocumentError::definition(self.what, "it is not an object"));
        };
        match pairs.keys().find(|key| !members.contains(&key.as_str())) {
            Some(unknown) => Err(DocumentError::definition(
                self.what,
                format!("\"{unknown}\" is not known"),
            )),
            None => Ok(()),
        }
    }

    fn text(&self, member: &str) -> Result<String> {
        let text = self.value.get(member).and_then(Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| self.wrong(member, "a string"))
    }

    fn flag(&self, member: &str) -> Result<bool> {
        match self.value.get(member) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(member, "true or false")),
        }
    }

    fn u32(&self, member: &str) -> Result<u32> {
        let number = self.value.get(member).and_then(integer_of);
        number
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| self.wrong(member, "a number of 32 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_survives_its_bytes() {
        let mut def = CollectionDef::new(RelationId(20_000), "orders");
        def.schema = Some(json!({"type": "object"}));
        def.options.id_policy = IdPolicy::Server;
        def.indexes = vec![
            IndexDef::on(RelationId(20_001), "by_sku", &["sku", "items.n"])
                .unique()
                .sparse()
                .partial(json!({"sku": {"$gt": 1.50}})),
            IndexDef {
                id: RelationId(20_002),
                name: "expiry".to_owned(),
                kind: IndexKind::Ttl {
                    path: "at".to_owned(),
                    after_seconds: 60,
                },
            },
        ];
        let bytes = def.to_bytes().unwrap();
        assert_eq!(CollectionDef::from_bytes(&bytes).unwrap(), def);
        assert!(CollectionDef::from_bytes(&bytes[..bytes.len() - 3]).is_err());
    }

    #[test]
    fn unknown_members_are_refused() {
        let value = json!({"id": 1, "name": "x", "fields": [], "uniqe": true});
        let error = IndexDef::from_value(&value).unwrap_err();
        assert_eq!(error.to_string(), "invalid index: \"uniqe\" is not known");
    }
}

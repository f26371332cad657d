//! Where a list lives, and how it is read and appended to in each model.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tessera_engine::documents::{Change, DocumentId, Filter, Query, Update};
use tessera_engine::keyvalue::{End, ScanSpec};
use tessera_engine::models::{Call, Client, Joined};
use tessera_engine::{Report, Session};
use tessera_histories::{Element, Key};

/// The key space; documents and rows have a collection and a table of other names.
const SPACE: &str = "lists";
const COLLECTION: &str = "list_documents";
const TABLE: &str = "list_rows";

/// The model that holds a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// A Redis list.
    Key,
    /// The array of a document.
    Document,
    /// The array of a row.
    Row,
}

pub(crate) fn home(key: Key) -> Home {
    match key % 3 {
        0 => Home::Key,
        1 => Home::Document,
        _ => Home::Row,
    }
}

fn name(key: Key) -> String {
    format!("list:{key:06}")
}

fn key_of(name: &str) -> Key {
    name["list:".len()..].parse().unwrap()
}

/// The members of one transaction, or callers with a transaction for each call.
pub(crate) struct Members<'a> {
    pub(crate) client: &'a Client,
    pub(crate) joined: Option<Joined>,
    pub(crate) sql: &'a mut Session,
}

pub(crate) async fn create(client: &Client, sql: &mut Session) {
    sql.run(&format!(
        "CREATE TABLE {TABLE} (key bigint PRIMARY KEY, elements bigint[])"
    ))
    .await
    .unwrap();
    let call = Call::write("make the lists", None);
    let options = serde_json::Map::new();
    client
        .create_collection(&call, COLLECTION, &options)
        .await
        .unwrap();
    client.ensure_key_space(SPACE).await.unwrap();
}

impl Members<'_> {
    fn reads(&self) -> Call {
        Call::read("read lists", self.joined.clone())
    }

    fn writes(&self) -> Call {
        Call::write("append to a list", self.joined.clone())
    }

    pub(crate) async fn append(&mut self, key: Key, element: Element) -> Result<(), Report> {
        let (client, call, name) = (self.client, self.writes(), name(key));
        let name = &name;
        match home(key) {
            Home::Key => {
                let item = element.to_string();
                let item = &item;
                let push = |txn| async move {
                    let space = client.space_to_write(&txn, SPACE).await?;
                    let writer = client.key_writer(&space, &txn);
                    writer
                        .push(name.as_bytes(), End::Right, &[item], false)
                        .await?;
                    Ok(())
                };
                client.run(&call, push).await
            }
            Home::Document => {
                let update = Update::parse(&json!({"$push": {"elements": element}}))?;
                let change = &Change::Update(update);
                let push = |txn| async move {
                    let id = DocumentId::new(name.clone())?;
                    let collection = client.collection(&txn, COLLECTION).await?;
                    collection.upsert(&txn, &id, change).await?;
                    Ok(())
                };
                client.run(&call, push).await
            }
            Home::Row => {
                let append =
                    format!("elements = array_append({TABLE}.elements, {element}::bigint)");
                let update = format!("UPDATE {TABLE} SET {append} WHERE key = {key}");
                if element % 2 == 0 && self.sql.run(&update).await?[0].tag == "UPDATE 1" {
                    return Ok(());
                }
                let insert = format!(
                    "INSERT INTO {TABLE} VALUES ({key}, ARRAY[{element}::bigint]) \
                     ON CONFLICT (key) DO UPDATE SET {append}"
                );
                self.sql.run(&insert).await.map(drop)
            }
        }
    }

    /// Writes a document's whole list, whatever it is by now.
    pub(crate) async fn overwrite(&mut self, key: Key, elements: &[Element]) -> Result<(), Report> {
        let (client, call, name) = (self.client, self.writes(), name(key));
        let name = &name;
        let put = |txn| async move {
            let id = DocumentId::new(name.clone())?;
            let collection = client.collection(&txn, COLLECTION).await?;
            let change = Change::Replace(json!({"elements": elements}));
            collection.upsert(&txn, &id, &change).await?;
            Ok(())
        };
        client.run(&call, put).await
    }

    pub(crate) async fn read(&mut self, key: Key) -> Result<Vec<Element>, Report> {
        let (client, call, name) = (self.client, self.reads(), name(key));
        let name = &name;
        match home(key) {
            Home::Key => {
                let read = |txn: tessera_engine::Transaction| async move {
                    let Some(space) = client.space(&txn, SPACE).await? else {
                        return Ok(Vec::new());
                    };
                    let view = txn.view();
                    let reader = client.key_reader(&space, &view);
                    items(&reader.lrange(name.as_bytes(), 0, -1).await?)
                };
                client.run(&call, read).await
            }
            Home::Document => {
                let read = |txn: tessera_engine::Transaction| async move {
                    let id = DocumentId::new(name.clone())?;
                    let collection = client.collection(&txn, COLLECTION).await?;
                    match collection.get(&*txn.view(), &id).await? {
                        Some(document) => Ok(elements(&document.to_value()?)),
                        None => Ok(Vec::new()),
                    }
                };
                client.run(&call, read).await
            }
            Home::Row => {
                let sql = format!("SELECT elements FROM {TABLE} WHERE key = {key}");
                let rows = self.sql.query(&sql, &[]).await?;
                Ok(rows.text(0, 0).map_or_else(Vec::new, |text| parse(&text)))
            }
        }
    }

    /// Every list of every model. At READ COMMITTED these are three moments.
    pub(crate) async fn read_all(&mut self) -> Result<BTreeMap<Key, Vec<Element>>, Report> {
        let (client, call) = (self.client, self.reads());
        let keys = |txn: tessera_engine::Transaction| async move {
            let mut lists = BTreeMap::new();
            let Some(space) = client.space(&txn, SPACE).await? else {
                return Ok(lists);
            };
            let view = txn.view();
            let reader = client.key_reader(&space, &view);
            let spec = ScanSpec {
                pattern: Some(b"list:*"),
                ..ScanSpec::default()
            };
            let mut after = None;
            loop {
                let page = reader.scan_keys(after.as_deref(), &spec).await?;
                for info in page.keys {
                    let list = items(&reader.lrange(&info.key, 0, -1).await?)?;
                    lists.insert(key_of(&String::from_utf8_lossy(&info.key)), list);
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => return Ok(lists),
                }
            }
        };
        let documents = |txn: tessera_engine::Transaction| async move {
            let collection = client.collection(&txn, COLLECTION).await?;
            let everything = Query::new(Filter::all());
            let found = collection.find(txn.view(), &everything);
            let mut lists = BTreeMap::new();
            for document in found.await?.collect().await? {
                let list = elements(&document.to_value()?);
                lists.insert(key_of(document.id().as_str()), list);
            }
            Ok(lists)
        };
        let mut lists: BTreeMap<Key, Vec<Element>> = client.run(&call, keys).await?;
        lists.extend(client.run(&call, documents).await?);
        let sql = format!("SELECT key, elements FROM {TABLE}");
        let rows = self.sql.query(&sql, &[]).await?;
        for row in 0..rows.rows.len() {
            let key = rows.text(row, 0).unwrap().parse().unwrap();
            lists.insert(key, parse(&rows.text(row, 1).unwrap()));
        }
        Ok(lists)
    }
}

fn items<B: AsRef<[u8]>>(items: &[B]) -> Result<Vec<Element>, Report> {
    let number = |item: &B| String::from_utf8_lossy(item.as_ref()).parse().unwrap();
    Ok(items.iter().map(number).collect())
}

fn elements(body: &Value) -> Vec<Element> {
    let list = body["elements"].as_array().unwrap();
    list.iter()
        .map(|element| element.to_string().parse().unwrap())
        .collect()
}

/// `{1,2}`.
fn parse(text: &str) -> Vec<Element> {
    let numbers = text.trim_matches(['{', '}']).split(',');
    numbers
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().unwrap())
        .collect()
}

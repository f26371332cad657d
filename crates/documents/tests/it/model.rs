//! Random writes against a plain map. Method: every operation is done on both; whether it fails
//! must be the same, and after each transaction documents and indexes are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tessera_documents::{
    Change, Collection, DocumentError, Expected, IndexDef, Update, UpdateContext,
};
use tessera_transactions::Transaction;

use crate::world::{Dice, Engine, World, collection, id, index_id, run, statement};

type Model = BTreeMap<String, Value>;

fn things() -> Arc<Collection> {
    collection(vec![
        IndexDef::on(index_id(0), "u", &["u"]).unique().sparse(),
        IndexDef::on(index_id(1), "tags", &["tags", "n"]),
        IndexDef::on(index_id(2), "part", &["n"]).partial(json!({"n": {"$gte": 3}})),
    ])
}

fn document(dice: &mut Dice) -> Value {
    let mut body = json!({"n": dice.below(6)});
    if dice.below(3) > 0 {
        body["u"] = json!(dice.below(12));
    }
    if dice.below(2) == 0 {
        body["tags"] = (0..dice.below(4)).map(|_| dice.below(5)).collect();
    }
    body
}

fn change(dice: &mut Dice) -> Change {
    let update = |value: Value| Change::Update(Update::parse(&value).unwrap());
    match dice.below(6) {
        0 => update(json!({"$inc": {"n": 1}})),
        1 => update(json!({"$push": {"tags": dice.below(5)}})),
        2 => update(json!({"$set": {"u": dice.below(12)}})),
        3 => update(json!({"$unset": {"u": "", "tags": ""}})),
        4 => Change::MergePatch(json!({"u": dice.below(12), "n": null})),
        _ => Change::Replace(document(dice)),
    }
}

/// What a change makes of a document, or that another one has its unique value.
fn changed(model: &Model, name: &str, change: &Change) -> Option<Value> {
    let mut body = model[name].clone();
    let context = UpdateContext {
        unix_micros: 0,
        is_insert: false,
    };
    change.apply(&mut body, context).ok()?;
    (!conflicts(model, name, &body)).then_some(body)
}

fn conflicts(model: &Model, name: &str, body: &Value) -> bool {
    let others = model.iter().filter(|(other, _)| *other != name);
    body.get("u").is_some_and(|u| {
        others
            .into_iter()
            .any(|(_, other)| other.get("u") == Some(u))
    })
}

async fn step(things: &Arc<Collection>, txn: &Transaction, model: &mut Model, dice: &mut Dice) {
    let name = format!("d{}", dice.below(25));
    let things = Arc::clone(things);
    let (outcome, expected) = match dice.below(5) {
        0 | 1 => {
            let body = document(dice);
            let expected = (!model.contains_key(&name) && !conflicts(model, &name, &body))
                .then_some(Some(body.clone()));
            let key = id(&name);
            let outcome = statement(txn, |txn| async move {
                things.insert(&txn, Some(key), body).await
            });
            (outcome.await, expected)
        }
        2 => {
            let expected = model.contains_key(&name).then_some(None);
            let key = id(&name);
            let outcome = statement(txn, |txn| async move {
                things.delete(&txn, &key, Expected::Any).await
            });
            (outcome.await, expected)
        }
        _ => {
            let change = change(dice);
            let expected = match model.contains_key(&name) {
                true => changed(model, &name, &change).map(Some),
                false => None,
            };
            let key = id(&name);
            let outcome = statement(txn, |txn| async move {
                things.modify(&txn, &key, &change, Expected::Any).await
            });
            (outcome.await, expected)
        }
    };
    match (outcome, expected) {
        (Ok(_), Some(Some(body))) => {
            model.insert(name, body);
        }
        (Ok(_), Some(None)) => {
            model.remove(&name);
        }
        (Err(error), None) => assert!(
            !matches!(
                error,
                DocumentError::Store(_) | DocumentError::Transaction(_)
            ),
            "{error}"
        ),
        (outcome, expected) => panic!("{name}: {outcome:?}, the model says {expected:?}"),
    }
}

async fn compare(world: &World, things: &Arc<Collection>, model: &Model) {
    let count = things.check(&world.view()).await.unwrap();
    assert_eq!(count, model.len() as u64);
    let mut scan = things.scan(world.view());
    let mut stored = Model::new();
    while let Some(batch) = scan.next_batch().await.unwrap() {
        for document in batch {
            stored.insert(document.id().to_string(), document.to_value().unwrap());
        }
    }
    assert_eq!(&stored, model);
}

async fn steps(world: &World, model: &mut Model, dice: &mut Dice, count: usize) {
    let things = things();
    for _ in 0..count {
        let txn = world.begin();
        let before = model.clone();
        for _ in 0..=dice.below(5) {
            step(&things, &txn, model, dice).await;
        }
        if dice.below(4) == 0 {
            txn.rollback();
            *model = before;
        } else {
            txn.commit().await.unwrap();
        }
        compare(world, &things, model).await;
    }
}

#[test]
fn random_writes_agree_with_a_map() {
    for seed in 1..=6_u64 {
        eprintln!("seed {seed}");
        run(async {
            let world = World::new(Engine::Memory);
            steps(&world, &mut Model::new(), &mut Dice(seed * 7_919), 80).await;
        });
    }
}

#[test]
fn random_writes_survive_restarts() {
    run(async {
        let mut model = Model::new();
        let mut dice = Dice(4_242);
        let mut world = World::new(Engine::Embedded);
        for round in 0..4 {
            eprintln!("round {round}");
            compare(&world, &things(), &model).await;
            steps(&world, &mut model, &mut dice, 30).await;
            if round == 2 {
                world.transactions.store().checkpoint().await.unwrap();
            }
            world = world.reopen().await;
        }
        compare(&world, &things(), &model).await;
    });
}

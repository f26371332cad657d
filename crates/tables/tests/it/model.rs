//! Random writes against a plain list of rows. Method: every operation is done on both; whether it
//! fails must be the same, and after each transaction rows and indexes are compared.

use tessera_tables::{Row, TableError};
use tessera_types::Value;

use crate::world::{World, run};

/// xorshift64*: good enough to choose operations, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }

    fn integer(&mut self, n: u64, null_in: u64) -> Value {
        if self.below(null_in) == 0 {
            return Value::Null;
        }
        Value::Integer(i32::try_from(self.below(n)).expect("small"))
    }

    fn row(&mut self) -> Row {
        vec![
            Value::Integer(i32::try_from(self.below(40)).expect("small")),
            self.integer(30, 5),
            Value::text(["", "a", "ab", "b\0c", "ä"][self.below(5) as usize]),
            self.integer(10, 4),
        ]
    }
}

struct Model {
    rows: Vec<Row>,
    with_key: bool,
    nulls_not_distinct: bool,
}

impl Model {
    fn conflicts(&self, row: &Row, except: Option<usize>) -> bool {
        self.rows.iter().enumerate().any(|(at, other)| {
            Some(at) != except
                && ((self.with_key && other[0] == row[0])
                    || (other[1] == row[1] && (!row[1].is_null() || self.nulls_not_distinct)))
        })
    }

    fn sorted(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }
}

async fn steps(world: &World, model: &mut Model, dice: &mut Dice, count: usize) {
    let table = world.reopened_table();
    for _ in 0..count {
        let txn = world.begin();
        let before = model.rows.clone();
        for _ in 0..=dice.below(4) {
            step(world, &table, model, dice, &txn).await;
        }
        if dice.below(4) == 0 {
            txn.rollback();
            model.rows = before;
        } else {
            txn.commit().await.expect("the commit");
        }
        let mut rows = world.rows(&table).await;
        rows.sort();
        assert_eq!(rows, model.sorted());
    }
}

async fn step(
    world: &World,
    table: &tessera_tables::Table,
    model: &mut Model,
    dice: &mut Dice,
    txn: &tessera_transactions::Transaction,
) {
    let is_duplicate = |error: &TableError| matches!(error, TableError::Duplicate { .. });
    if model.rows.is_empty() || dice.below(10) < 4 {
        let row = dice.row();
        let outcome = world.insert(txn, table, &row).await;
        match outcome {
            Ok(()) => {
                assert!(
                    !model.conflicts(&row, None),
                    "inserted a duplicate of {row:?}"
                );
                model.rows.push(row);
            }
            Err(error) => {
                assert!(is_duplicate(&error), "{error}");
                assert!(model.conflicts(&row, None), "refused {row:?}: {error}");
            }
        }
        return;
    }
    let at = dice.below(model.rows.len() as u64) as usize;
    let old = model.rows[at].clone();
    // Rows without a key may be equal; then each of them is picked, which the model cannot say.
    if model.rows.iter().filter(|row| **row == old).count() > 1 {
        return;
    }
    let new = (dice.below(3) > 0).then(|| {
        let mut new = old.clone();
        let fresh = dice.row();
        let column = dice.below(4) as usize;
        new[column] = fresh[column].clone();
        new
    });
    let outcome = world
        .update(txn, table, &|row| *row == old, &|_| new.clone())
        .await;
    match (outcome, new) {
        (Ok(count), None) => {
            assert_eq!(count, 1);
            model.rows.remove(at);
        }
        (Ok(count), Some(new)) => {
            assert_eq!(count, 1);
            assert!(
                !model.conflicts(&new, Some(at)),
                "updated to a duplicate {new:?}"
            );
            model.rows[at] = new;
        }
        (Err(error), new) => {
            assert!(is_duplicate(&error), "{error}");
            let new = new.expect("a delete has no duplicates");
            assert!(model.conflicts(&new, Some(at)), "refused {new:?}: {error}");
        }
    }
}

#[test]
fn random_writes_agree_with_a_list_of_rows() {
    for seed in 1..=6_u64 {
        let (with_key, nulls_not_distinct) = (seed % 2 == 0, seed % 3 == 0);
        eprintln!("seed {seed}, primary key {with_key}, nulls not distinct {nulls_not_distinct}");
        run(async {
            let world = World::memory().await;
            world.create(with_key, nulls_not_distinct).await;
            let mut model = Model {
                rows: Vec::new(),
                with_key,
                nulls_not_distinct,
            };
            steps(&world, &mut model, &mut Dice(seed * 7_919), 120).await;
        });
    }
}

#[test]
fn random_writes_survive_restarts() {
    let dir = tempfile::tempdir().expect("a folder");
    for with_key in [true, false] {
        let path = dir.path().join(with_key.to_string());
        std::fs::create_dir_all(&path).expect("a folder");
        let mut model = Model {
            rows: Vec::new(),
            with_key,
            nulls_not_distinct: false,
        };
        let mut dice = Dice(4_242);
        for round in 0..4 {
            eprintln!("primary key {with_key}, round {round}");
            run(async {
                let world = World::embedded(&path).await;
                if round == 0 {
                    world.create(with_key, false).await;
                }
                let table = world.reopened_table();
                let mut rows = world.rows(&table).await;
                rows.sort();
                assert_eq!(rows, model.sorted(), "after the restart");
                steps(&world, &mut model, &mut dice, 25).await;
                if round == 2 {
                    world
                        .transactions
                        .store()
                        .checkpoint()
                        .await
                        .expect("a checkpoint");
                }
                world.close().await;
            });
        }
    }
}

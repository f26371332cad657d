//! What is left after a loss of power, and its counts.

use tessera_keyvalue::{End, Expire, PrefixFootprint, SetExpiry, SetOptions, ZaddOptions};

use crate::world::{World, block_on, text};

async fn fill(world: &World) {
    let options = SetOptions {
        expiry: SetExpiry::Expire(Expire::InMillis(100)),
        ..SetOptions::default()
    };
    world
        .write(async |w| w.set(b"s:1", &[7; 20_000], options).await)
        .await
        .unwrap();
    world
        .write(async |w| w.hset(b"h:1", &[("f", "v"), ("g", "w")]).await)
        .await
        .unwrap();
    world
        .write(async |w| w.push(b"l:1", End::Left, &["a", "b"], false).await)
        .await
        .unwrap();
    let members = [(1.0, "x"), (2.0, "y")];
    world
        .write(async |w| w.zadd(b"z:1", &members, ZaddOptions::default()).await)
        .await
        .unwrap();
    // What is not committed is not there.
    let txn = world.begin();
    world
        .statement(&txn, async |w| w.del(&["h:1"]).await)
        .await
        .unwrap();
    txn.rollback();
}

async fn prefixes(world: &World) -> (Vec<PrefixFootprint>, bool) {
    world.space.prefixes(b"", 10, world.now()).await.unwrap()
}

#[test]
fn counts_and_values_are_the_same_after_a_crash() {
    block_on(async {
        for world in crate::world::worlds().await {
            fill(&world).await;
            let before = world.footprint().await;
            assert_eq!((before.keys, before.expiring), (4, 1));
            let children = prefixes(&world).await;
            let world = world.after_crash().await;
            assert_eq!(world.footprint().await, before);
            assert_eq!(prefixes(&world).await, children);
            assert_eq!(
                world.reader().get(b"s:1").await.unwrap().unwrap(),
                vec![7; 20_000]
            );
            assert_eq!(world.reader().hlen(b"h:1").await.unwrap(), 2);
            world.advance(100);
            assert_eq!(world.footprint().await.keys, 3);
            let (children, is_whole) = prefixes(&world).await;
            let children: Vec<_> = children.iter().map(|child| text(&child.prefix)).collect();
            assert_eq!(
                (children, is_whole),
                (vec!["h:".into(), "l:".into(), "z:".into()], true)
            );
            world.reclaim_all().await;
            let world = world.after_crash().await;
            assert_eq!(world.footprint().await.keys, 3);
            assert_eq!(world.prefix_footprint("s:").await.keys, 0);
        }
    });
}

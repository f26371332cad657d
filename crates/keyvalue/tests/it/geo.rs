//! Searches on the earth against a look at every position.

use proptest::prelude::*;
use tessera_keyvalue::{
    GeoCenter, GeoOrder, GeoSearch, GeoShape, KeyValueError, Position, ZaddOptions,
};

use crate::world::{World, block_on, text};

fn at(longitude: f64, latitude: f64) -> Position {
    Position {
        longitude,
        latitude,
    }
}

fn search(center: GeoCenter<'_>, shape: GeoShape) -> GeoSearch<'_> {
    GeoSearch {
        center,
        shape,
        order: Some(GeoOrder::Nearest),
        count: None,
        any: false,
    }
}

/// Source: the examples of GEOADD, GEOSEARCH and GEOSEARCHSTORE in the documentation of Redis.
#[test]
fn the_examples_of_redis_come_out() {
    block_on(async {
        let world = World::memory().await;
        let members = [
            (at(13.361389, 38.115556), "Palermo"),
            (at(15.087269, 37.502669), "Catania"),
            (at(12.758489, 38.788135), "edge1"),
            (at(17.241510, 38.788135), "edge2"),
        ];
        let options = ZaddOptions::default();
        world
            .write(async |w| w.geoadd(b"Sicily", &members, options).await)
            .await
            .unwrap();
        let reader = world.reader();
        let distance = reader
            .geodist(b"Sicily", b"Palermo", b"Catania")
            .await
            .unwrap()
            .unwrap();
        assert!((distance - 166_274.151_6).abs() < 0.001);
        let hashes = reader
            .geohash(b"Sicily", &["Palermo", "none"])
            .await
            .unwrap();
        assert_eq!(hashes, [Some("sqc8b49rny0".into()), None]);
        let center = GeoCenter::Position(at(15.0, 37.0));
        let names = async |shape| {
            let found = world
                .reader()
                .geosearch(b"Sicily", &search(center, shape))
                .await
                .unwrap();
            found
                .iter()
                .map(|found| text(&found.member))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(GeoShape::Radius(200_000.0)).await,
            ["Catania", "Palermo"]
        );
        let wide = GeoShape::Box(400_000.0, 400_000.0);
        assert_eq!(names(wide).await, ["Catania", "Palermo", "edge2", "edge1"]);
        let store = search(center, wide);
        let stored = world.write(async |w| {
            w.geosearchstore(b"near", b"Sicily", &store, Some(1_000.0))
                .await
        });
        assert_eq!(stored.await.unwrap(), 4);
        let score = world
            .reader()
            .zscore(b"near", b"Catania")
            .await
            .unwrap()
            .unwrap();
        assert!((score - 56.441_257_870_158_19).abs() < 0.001);
        let missing = search(GeoCenter::Member(b"none"), wide);
        let answer = world.reader().geosearch(b"Sicily", &missing).await;
        assert!(matches!(answer, Err(KeyValueError::NoSuchMember)));
        let wrong = [(at(0.0, 86.0), "pole")];
        let answer = world
            .write(async |w| w.geoadd(b"Sicily", &wrong, options).await)
            .await;
        assert!(matches!(answer, Err(KeyValueError::InvalidArgument { .. })));
    });
}

fn position() -> impl Strategy<Value = Position> {
    let longitude = prop_oneof![-180.0..180.0_f64, 179.0..180.0_f64, -180.0..-179.0_f64];
    let latitude = prop_oneof![-85.0..85.0_f64, 80.0..85.0_f64, -1.0..1.0_f64];
    (longitude, latitude).prop_map(|(longitude, latitude)| at(longitude, latitude))
}

fn shape() -> impl Strategy<Value = GeoShape> {
    let meters = || prop_oneof![1.0..5_000.0_f64, 5_000.0..500_000.0_f64, 1e6..2e7_f64];
    prop_oneof![
        meters().prop_map(GeoShape::Radius),
        (meters(), meters()).prop_map(|(width, height)| GeoShape::Box(width, height)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_look_at_everything_finds(
        positions in prop::collection::vec(position(), 1..60),
        center in position(),
        shape in shape(),
    ) {
        block_on(async {
            let world = World::memory().await;
            let members: Vec<(Position, String)> =
                positions.iter().enumerate().map(|(n, at)| (*at, format!("{n}"))).collect();
            let options = ZaddOptions::default();
            world.write(async |w| w.geoadd(b"k", &members, options).await).await.unwrap();
            let names: Vec<&String> = members.iter().map(|(_, name)| name).collect();
            let stored = world.reader().geopos(b"k", &names).await.unwrap();
            let mut expected = Vec::new();
            for (name, stored) in names.iter().zip(stored) {
                let stored = stored.unwrap();
                let is_inside = match shape {
                    GeoShape::Radius(radius) => center.distance_meters(&stored) <= radius,
                    GeoShape::Box(width, height) => {
                        let beside = at(center.longitude, stored.latitude);
                        center.distance_meters(&beside) <= height / 2.0
                            && beside.distance_meters(&stored) <= width / 2.0
                    }
                };
                if is_inside {
                    expected.push((*name).clone());
                }
            }
            let search = search(GeoCenter::Position(center), shape);
            let found = world.reader().geosearch(b"k", &search).await.unwrap();
            assert!(found.is_sorted_by(|a, b| a.distance_meters <= b.distance_meters));
            let mut names: Vec<String> = found.iter().map(|found| text(&found.member)).collect();
            names.sort();
            expected.sort();
            assert_eq!(names, expected);
        });
    }
}

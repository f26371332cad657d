//! Positions on the earth, as scores of a sorted set. <https://redis.io/commands/?group=geo>
//!
//! A position becomes a number of 52 bits by interleaving 26 bits of latitude and of longitude
//! (a geohash), so that what is near is often near in score. A search covers its shape with few
//! squares of that grid, reads their ranges of scores and measures what it finds.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::{KeyValueError, Result};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::zset::{RangeBy, RangeSpec, ScoreBound, ScoreRange, Scored, ZaddOptions, ZaddOutcome};

/// Bits of each coordinate.
const STEPS: u32 = 26;
const LONGITUDES: RangeInclusive<f64> = -180.0..=180.0;
/// Where the Mercator projection makes the world a square.
const LATITUDES: RangeInclusive<f64> = -85.051_128_78..=85.051_128_78;
/// As Redis takes it.
const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;
/// Squares that cover a shape at most.
const CELLS_MAX: usize = 48;
const BASE32: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// Longitude and latitude in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// East is positive.
    pub longitude: f64,
    /// North is positive; up to about 85 degrees either way.
    pub latitude: f64,
}

impl Position {
    fn check(&self) -> Result<()> {
        if LONGITUDES.contains(&self.longitude) && LATITUDES.contains(&self.latitude) {
            return Ok(());
        }
        Err(KeyValueError::InvalidArgument {
            what: "invalid longitude,latitude pair",
        })
    }

    fn score(&self) -> u64 {
        interleave(
            cell_of(self.latitude, &LATITUDES),
            cell_of(self.longitude, &LONGITUDES),
        )
    }

    /// The middle of the square that a score stands for.
    fn of_score(score: f64) -> Position {
        let bits = score as u64;
        Position {
            longitude: middle(separate(bits >> 1), &LONGITUDES).clamp(-180.0, 180.0),
            latitude: middle(separate(bits), &LATITUDES)
                .clamp(*LATITUDES.start(), *LATITUDES.end()),
        }
    }

    /// Meters along the great circle (haversine).
    ///
    /// The order of the operations is that of Redis (`geohashGetDistance`), so that the last digits
    /// are the same.
    pub fn distance_meters(&self, other: &Position) -> f64 {
        let (a, b) = (radians(self.latitude), radians(other.latitude));
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return EARTH_RADIUS_METERS * (b - a).abs();
        }
        let u = ((b - a) / 2.0).sin();
        let h = u * u + a.cos() * b.cos() * v * v;
        2.0 * EARTH_RADIUS_METERS * h.sqrt().min(1.0).asin()
    }

    /// The geohash of 11 letters that other services use.
    fn geohash(&self) -> String {
        let bits = interleave(
            cell_of(self.latitude, &(-90.0..=90.0)),
            cell_of(self.longitude, &LONGITUDES),
        );
        (0..11)
            .map(|letter| {
                // 52 bits are ten letters and two bits; Redis fills up with a zero.
                let index = match letter {
                    10 => 0,
                    _ => (bits >> (52 - (letter + 1) * 5)) & 31,
                };
                char::from(BASE32[index as usize])
            })
            .collect()
    }
}

fn cell_of(value: f64, range: &RangeInclusive<f64>) -> u64 {
    let share = (value - range.start()) / (range.end() - range.start());
    // The upper end belongs to the last cell.
    ((share * f64::from(1_u32 << STEPS)) as u64).min((1 << STEPS) - 1)
}

fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

/// Between the edges of a cell, computed as Redis does it (`geohashDecode`).
fn middle(cell: u64, range: &RangeInclusive<f64>) -> f64 {
    let scale = range.end() - range.start();
    let edge = |cell: u64| range.start() + (cell as f64 / f64::from(1_u32 << STEPS)) * scale;
    (edge(cell) + edge(cell + 1)) / 2.0
}

/// Bits of the latitude at even places, of the longitude at odd ones.
fn interleave(latitude: u64, longitude: u64) -> u64 {
    spread(latitude) | spread(longitude) << 1
}

fn spread(mut bits: u64) -> u64 {
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// The bits at even places.
fn separate(mut bits: u64) -> u64 {
    bits &= 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) & 0x0000_0000_ffff_ffff
}

/// Where a search has its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GeoCenter<'a> {
    /// At a member (FROMMEMBER).
    Member(&'a [u8]),
    /// FROMLONLAT.
    Position(Position),
}

/// What a search covers, around its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GeoShape {
    /// BYRADIUS, in meters.
    Radius(f64),
    /// BYBOX, in meters: whole width and whole height.
    Box(f64, f64),
}

impl GeoShape {
    /// No part of the shape is farther away.
    fn reach_meters(&self) -> f64 {
        match self {
            GeoShape::Radius(radius) => *radius,
            GeoShape::Box(width, height) => (width + height) / 2.0,
        }
    }

    /// The distance of a position that is inside.
    fn distance_inside(&self, center: &Position, position: &Position) -> Option<f64> {
        let distance = center.distance_meters(position);
        let is_inside = match self {
            GeoShape::Radius(radius) => distance <= *radius,
            GeoShape::Box(width, height) => {
                let beside = Position {
                    longitude: center.longitude,
                    latitude: position.latitude,
                };
                beside.distance_meters(center) <= height / 2.0
                    && beside.distance_meters(position) <= width / 2.0
            }
        };
        is_inside.then_some(distance)
    }
}

/// In which order matches are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeoOrder {
    /// Nearest first (ASC).
    Nearest,
    /// Farthest first (DESC).
    Farthest,
}

/// A search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeoSearch<'a> {
    /// Where.
    pub center: GeoCenter<'a>,
    /// How far.
    pub shape: GeoShape,
    /// In which order; with a count and no order, nearest first.
    pub order: Option<GeoOrder>,
    /// At most so many (COUNT).
    pub count: Option<u64>,
    /// Any matches will do, they need not be the nearest (ANY).
    pub any: bool,
}

/// A member that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct GeoMatch {
    /// The member.
    pub member: Bytes,
    /// Meters from the middle of the search.
    pub distance_meters: f64,
    /// Where it is.
    pub position: Position,
    /// The number of 52 bits (WITHHASH).
    pub hash: u64,
}

/// Squares of one level, and the degrees that they must meet.
struct Bounds {
    south: f64,
    north: f64,
    /// From west to east; two where the shape lies across the 180th meridian.
    longitudes: Vec<(f64, f64)>,
}

impl Bounds {
    fn new(center: &Position, reach_meters: f64) -> Bounds {
        let angle = reach_meters / EARTH_RADIUS_METERS;
        let latitudes = angle.to_degrees();
        let (south, north) = (center.latitude - latitudes, center.latitude + latitudes);
        // The widest longitudes that a circle reaches; all of them if it holds a pole.
        let ratio = angle.sin() / center.latitude.to_radians().cos();
        let is_wide = south <= -90.0
            || north >= 90.0
            || angle >= std::f64::consts::FRAC_PI_2
            || !(0.0..1.0).contains(&ratio);
        let longitudes = if is_wide {
            vec![(-180.0, 180.0)]
        } else {
            let width = ratio.asin().to_degrees();
            let (west, east) = (center.longitude - width, center.longitude + width);
            if west < -180.0 {
                vec![(west + 360.0, 180.0), (-180.0, east)]
            } else if east > 180.0 {
                vec![(west, 180.0), (-180.0, east - 360.0)]
            } else {
                vec![(west, east)]
            }
        };
        Bounds {
            south,
            north,
            longitudes,
        }
    }

    /// Whether a square of `1 << (26 - step)` cells a side may hold something.
    fn meets(&self, latitude: u64, longitude: u64, step: u32) -> bool {
        let edge = |cell: u64, range: &RangeInclusive<f64>| {
            let share = cell as f64 / f64::from(1_u32 << step);
            range.start() + share * (range.end() - range.start())
        };
        let (south, north) = (edge(latitude, &LATITUDES), edge(latitude + 1, &LATITUDES));
        let (west, east) = (
            edge(longitude, &LONGITUDES),
            edge(longitude + 1, &LONGITUDES),
        );
        south <= self.north
            && north >= self.south
            && (self.longitudes.iter()).any(|(from, to)| west <= *to && east >= *from)
    }

    /// Ranges of scores that hold everything within, ascending, ends not included.
    fn cover(&self) -> Vec<(u64, u64)> {
        let mut cells = vec![(0_u64, 0_u64)];
        let mut step = 0;
        while step < STEPS {
            let finer: Vec<(u64, u64)> = cells
                .iter()
                .flat_map(|(latitude, longitude)| {
                    let (a, b) = (latitude * 2, longitude * 2);
                    [(a, b), (a, b + 1), (a + 1, b), (a + 1, b + 1)]
                })
                .filter(|(latitude, longitude)| self.meets(*latitude, *longitude, step + 1))
                .collect();
            if finer.len() > CELLS_MAX {
                break;
            }
            cells = finer;
            step += 1;
        }
        let shift = 2 * (STEPS - step);
        let mut numbers: Vec<u64> = cells.iter().map(|(a, b)| interleave(*a, *b)).collect();
        numbers.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            let (start, end) = (number << shift, (number + 1) << shift);
            match ranges.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => ranges.push((start, end)),
            }
        }
        ranges
    }
}

impl Reader<'_> {
    /// GEOPOS: in the order asked.
    pub async fn geopos<M: AsRef<[u8]>>(
        &self,
        key: &[u8],
        members: &[M],
    ) -> Result<Vec<Option<Position>>> {
        let scores = self.zmscore(key, members).await?;
        let positions = scores
            .into_iter()
            .map(|score| score.map(Position::of_score));
        Ok(positions.collect())
    }

    /// GEODIST, in meters; none if one of them does not exist.
    pub async fn geodist(&self, key: &[u8], one: &[u8], other: &[u8]) -> Result<Option<f64>> {
        let positions = self.geopos(key, &[one, other]).await?;
        Ok(match positions[..] {
            [Some(one), Some(other)] => Some(one.distance_meters(&other)),
            _ => None,
        })
    }

    /// GEOHASH: geohashes of 11 letters, in the order asked.
    pub async fn geohash<M: AsRef<[u8]>>(
        &self,
        key: &[u8],
        members: &[M],
    ) -> Result<Vec<Option<String>>> {
        let positions = self.geopos(key, members).await?.into_iter();
        Ok(positions
            .map(|position| position.map(|position| position.geohash()))
            .collect())
    }

    /// GEOSEARCH, and the older GEORADIUS.
    pub async fn geosearch(&self, key: &[u8], search: &GeoSearch<'_>) -> Result<Vec<GeoMatch>> {
        let reach = search.shape.reach_meters();
        if !reach.is_finite() || reach < 0.0 {
            return Err(KeyValueError::InvalidArgument {
                what: "radius, width and height cannot be negative",
            });
        }
        let Some(set) = self.sorted_set(key).await? else {
            return Ok(Vec::new());
        };
        let center = match search.center {
            GeoCenter::Position(position) => position,
            GeoCenter::Member(member) => {
                let score = self.zscore(key, member).await?;
                Position::of_score(score.ok_or(KeyValueError::NoSuchMember)?)
            }
        };
        center.check()?;
        let count = search.count.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        });
        let mut found = Vec::new();
        'ranges: for (start, end) in Bounds::new(&center, reach).cover() {
            let range = ScoreRange {
                min: ScoreBound::Included(start as f64),
                max: ScoreBound::Excluded(end as f64),
            };
            let spec = RangeSpec::new(RangeBy::Score(range));
            for (member, score) in self.range_of(&set, &spec).await? {
                let position = Position::of_score(score);
                let Some(distance) = search.shape.distance_inside(&center, &position) else {
                    continue;
                };
                found.push(GeoMatch {
                    member,
                    distance_meters: distance,
                    position,
                    hash: score as u64,
                });
                if search.any && found.len() >= count {
                    break 'ranges;
                }
            }
        }
        let order = search.order.or(search.count.map(|_| GeoOrder::Nearest));
        if let Some(order) = order {
            found.sort_by(|a, b| a.distance_meters.total_cmp(&b.distance_meters));
            if order == GeoOrder::Farthest {
                found.reverse();
            }
        }
        found.truncate(count);
        Ok(found)
    }
}

impl Writer<'_> {
    /// GEOADD.
    pub async fn geoadd<M: AsRef<[u8]>>(
        &self,
        key: &[u8],
        members: &[(Position, M)],
        options: ZaddOptions,
    ) -> Result<ZaddOutcome> {
        let mut scored = Vec::with_capacity(members.len());
        for (position, member) in members {
            position.check()?;
            scored.push((position.score() as f64, member.as_ref()));
        }
        self.zadd(key, &scored, options).await
    }

    /// GEOSEARCHSTORE: replaces whatever is at `to`; how many members it has. With
    /// `meters_per_unit` the scores are distances in that unit (STOREDIST), else positions.
    pub async fn geosearchstore(
        &self,
        to: &[u8],
        from: &[u8],
        search: &GeoSearch<'_>,
        meters_per_unit: Option<f64>,
    ) -> Result<u64> {
        let mut locked = self.lock(to).await?;
        let found = self.source_reader().geosearch(from, search).await?;
        let members: Vec<Scored> = found
            .into_iter()
            .map(|found| {
                let score = match meters_per_unit {
                    Some(unit) => found.distance_meters / unit,
                    None => found.hash as f64,
                };
                (found.member, score)
            })
            .collect();
        self.replace_sorted_set(&mut locked, &members).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Position = Position {
        longitude: 13.361_389,
        latitude: 38.115_556,
    };
    const CATANIA: Position = Position {
        longitude: 15.087_269,
        latitude: 37.502_669,
    };

    /// Source: the examples of GEOADD, GEODIST and GEOHASH in the documentation of Redis.
    #[test]
    fn the_examples_of_redis_come_out() {
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698);
        let stored = Position::of_score(PALERMO.score() as f64);
        assert!((stored.longitude - 13.361_389_338_970_184).abs() < 1e-9);
        assert!((stored.latitude - 38.115_556_395_496_3).abs() < 1e-9);
        let other = Position::of_score(CATANIA.score() as f64);
        assert!((stored.distance_meters(&other) - 166_274.151_6).abs() < 0.001);
        assert_eq!(stored.geohash(), "sqc8b49rny0");
        assert_eq!(other.geohash(), "sqdtr74hyu0");
    }

    #[test]
    fn a_cover_holds_what_is_within_reach() {
        let at = |longitude, latitude| Position {
            longitude,
            latitude,
        };
        for center in [PALERMO, at(179.99, 10.0), at(-179.99, -60.0), at(0.0, 84.9)] {
            for reach in [10.0, 5_000.0, 2_000_000.0] {
                let cover = Bounds::new(&center, reach).cover();
                assert!(cover.len() <= CELLS_MAX);
                for degrees in 0..36 {
                    let angle = f64::from(degrees * 10).to_radians();
                    let reach = (reach * 0.999 / EARTH_RADIUS_METERS).to_degrees();
                    let mut longitude =
                        center.longitude + reach * angle.cos() / center.latitude.to_radians().cos();
                    if longitude > 180.0 {
                        longitude -= 360.0;
                    } else if longitude < -180.0 {
                        longitude += 360.0;
                    }
                    let position = at(longitude, center.latitude + reach * angle.sin());
                    if position.check().is_err()
                        || center.distance_meters(&position)
                            > reach.to_radians() * EARTH_RADIUS_METERS
                    {
                        continue;
                    }
                    let score = position.score();
                    let is_in = cover.iter().any(|(from, to)| (*from..*to).contains(&score));
                    assert!(is_in, "{center:?} {reach} {position:?}");
                }
            }
        }
    }
}

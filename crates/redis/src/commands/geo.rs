//! Positions on the earth. <https://redis.io/commands/?group=geo>

use tessera_keyvalue::{
    GeoCenter, GeoMatch, GeoOrder, GeoSearch, GeoShape, Position, SetCondition, ZaddOptions,
};

use super::{Call, Reading, Writing, not_here};
use crate::args::{Cursor, float, integer, parse_float};
use crate::fault::{Fault, Result, SYNTAX};
use crate::hub::notifications::{GENERIC, SORTED_SET};
use crate::reply::Reply;
use crate::request::Request;
use crate::table::{Command, Row};

/// Degrees, as Redis takes them.
const LONGITUDE_MAX: f64 = 180.0;
const LATITUDE_MAX: f64 = 85.051_128_78;

pub(super) async fn read(call: &mut Call<'_>, from: &Reading<'_>) -> Result<()> {
    let (request, reply) = (call.request, &mut *call.reply);
    let key = request.arg(1);
    match call.row.command {
        Command::Geopos => {
            let positions = from.reader.geopos(key, &request.from(2)).await?;
            reply.array(positions.len());
            for position in positions {
                match position {
                    Some(position) => put_position(reply, position),
                    None => reply.null_array(),
                }
            }
        }
        Command::Geohash => {
            let hashes = from.reader.geohash(key, &request.from(2)).await?;
            reply.array(hashes.len());
            for hash in hashes {
                reply.maybe(hash);
            }
        }
        Command::Geodist => {
            let unit = match request.len() {
                4 => 1.0,
                5 => unit(request.arg(4))?,
                _ => return Err(SYNTAX),
            };
            let distance = from
                .reader
                .geodist(key, request.arg(2), request.arg(3))
                .await?;
            reply.maybe(distance.map(|meters| format!("{:.4}", meters / unit)));
        }
        Command::Geosearch | Command::GeoradiusRo | Command::GeoradiusbymemberRo => {
            let search = Search::parse(call.row, request)?;
            let matches = from.reader.geosearch(key, &search.spec).await?;
            search.put(reply, &matches);
        }
        _ => return Err(not_here(call.row)),
    }
    Ok(())
}

fn put_position(reply: &mut Reply, position: Position) {
    reply.array(2);
    for degrees in [position.longitude, position.latitude] {
        if reply.is_resp3 {
            reply.double(degrees);
        } else {
            let text = format!("{degrees:.17}");
            reply.bulk(text.trim_end_matches('0').trim_end_matches('.'));
        }
    }
}

/// Meters of a unit.
fn unit(word: &[u8]) -> Result<f64> {
    match word.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1_000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1_609.34),
        _ => Err(Fault::Static(
            "ERR unsupported unit provided. please use M, KM, FT, MI",
        )),
    }
}

fn position(longitude: &[u8], latitude: &[u8]) -> Result<Position> {
    let position = Position {
        longitude: float(longitude)?,
        latitude: float(latitude)?,
    };
    if position.longitude.abs() > LONGITUDE_MAX || position.latitude.abs() > LATITUDE_MAX {
        return Err(Fault::Text(format!(
            "ERR invalid longitude,latitude pair {:.6},{:.6}",
            position.longitude, position.latitude
        )));
    }
    Ok(position)
}

pub(super) async fn write(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    match call.row.command {
        Command::Geoadd => add(call, to).await,
        Command::Georadius | Command::Georadiusbymember => {
            let search = Search::parse(call.row, request)?;
            let Some(target) = search.target else {
                let matches = to
                    .newest_reader()
                    .geosearch(request.arg(1), &search.spec)
                    .await?;
                search.put(call.reply, &matches);
                return Ok(());
            };
            store(call, to, target, request.arg(1), &search).await
        }
        Command::Geosearchstore => {
            let search = Search::parse(call.row, request)?;
            store(call, to, request.arg(1), request.arg(2), &search).await
        }
        _ => Err(not_here(call.row)),
    }
}

/// GEOADD key [NX | XX] [CH] longitude latitude member ...
async fn add(call: &mut Call<'_>, to: &mut Writing<'_>) -> Result<()> {
    let request = call.request;
    let key = request.arg(1);
    let (mut nx, mut xx, mut count_changed) = (false, false, false);
    let mut options = Cursor::new(request, 2);
    loop {
        if options.take("NX") {
            nx = true;
        } else if options.take("XX") {
            xx = true;
        } else if options.take("CH") {
            count_changed = true;
        } else {
            break;
        }
    }
    if options.left() == 0 || !options.left().is_multiple_of(3) || (nx && xx) {
        return Err(SYNTAX);
    }
    let mut members = Vec::with_capacity(options.left() / 3);
    while options.left() > 0 {
        let position = position(options.need()?, options.need()?)?;
        members.push((position, options.need()?));
    }
    let options = ZaddOptions {
        condition: match (nx, xx) {
            (true, _) => SetCondition::IfAbsent,
            (_, true) => SetCondition::IfPresent,
            _ => SetCondition::Always,
        },
        comparison: None,
    };
    let outcome = to.writer.geoadd(key, &members, options).await?;
    if outcome.changed > 0 {
        to.effects.event(SORTED_SET, "zadd", key);
        to.effects.ready(key);
    }
    call.reply.count(if count_changed {
        outcome.changed
    } else {
        outcome.added
    });
    Ok(())
}

async fn store(
    call: &mut Call<'_>,
    to: &mut Writing<'_>,
    target: &[u8],
    source: &[u8],
    search: &Search<'_>,
) -> Result<()> {
    let distance_unit = search.store_distances.then_some(search.unit);
    let count = to
        .writer
        .geosearchstore(target, source, &search.spec, distance_unit)
        .await?;
    match count {
        0 => to.effects.event(GENERIC, "del", target),
        _ => {
            let event = match call.row.command {
                Command::Geosearchstore => "geosearchstore",
                _ => "georadiusstore",
            };
            to.effects.event(SORTED_SET, event, target);
            to.effects.ready(target);
        }
    }
    call.reply.count(count);
    Ok(())
}

/// A search as all these commands say it.
struct Search<'a> {
    spec: GeoSearch<'a>,
    /// Meters of the unit that distances are given in.
    unit: f64,
    with_position: bool,
    with_distance: bool,
    with_hash: bool,
    /// STORE, STOREDIST of the older commands.
    target: Option<&'a [u8]>,
    store_distances: bool,
}

/// What a search is made of, as far as it is read.
#[derive(Default)]
struct Parts<'a> {
    center: Option<GeoCenter<'a>>,
    shape: Option<GeoShape>,
    unit: f64,
    order: Option<GeoOrder>,
    count: Option<u64>,
    any: bool,
    with: [bool; 3],
    target: Option<&'a [u8]>,
    store_distances: bool,
}

impl<'a> Search<'a> {
    fn parse(row: &Row, request: &'a Request) -> Result<Search<'a>> {
        let mut parts = Parts {
            unit: 1.0,
            ..Parts::default()
        };
        let mut options = match row.command {
            Command::Geosearch => Cursor::new(request, 2),
            Command::Geosearchstore => Cursor::new(request, 3),
            Command::Georadius | Command::GeoradiusRo => {
                parts.center = Some(GeoCenter::Position(position(
                    request.arg(2),
                    request.arg(3),
                )?));
                radius(request.arg(4), request.arg(5), &mut parts)?;
                Cursor::new(request, 6)
            }
            _ => {
                parts.center = Some(GeoCenter::Member(request.arg(2)));
                radius(request.arg(3), request.arg(4), &mut parts)?;
                Cursor::new(request, 5)
            }
        };
        while options.left() > 0 {
            option(row.command, &mut options, &mut parts)?;
        }
        parts.finish(row)
    }

    fn put(&self, reply: &mut Reply, matches: &[GeoMatch]) {
        reply.array(matches.len());
        let extras = [self.with_distance, self.with_hash, self.with_position]
            .iter()
            .filter(|is_wanted| **is_wanted)
            .count();
        for found in matches {
            if extras > 0 {
                reply.array(1 + extras);
            }
            reply.bulk(&found.member);
            if self.with_distance {
                reply.bulk(format!("{:.4}", found.distance_meters / self.unit));
            }
            if self.with_hash {
                reply.count(found.hash);
            }
            if self.with_position {
                put_position(reply, found.position);
            }
        }
    }
}

/// One option of a search.
fn option<'a>(command: Command, options: &mut Cursor<'a>, parts: &mut Parts<'a>) -> Result<()> {
    let is_new_form = matches!(command, Command::Geosearch | Command::Geosearchstore);
    let may_store = matches!(command, Command::Georadius | Command::Georadiusbymember);
    if options.take("WITHDIST") {
        parts.with[0] = true;
    } else if options.take("WITHHASH") {
        parts.with[1] = true;
    } else if options.take("WITHCOORD") {
        parts.with[2] = true;
    } else if options.take("ASC") {
        parts.order = Some(GeoOrder::Nearest);
    } else if options.take("DESC") {
        parts.order = Some(GeoOrder::Farthest);
    } else if options.take("ANY") {
        parts.any = true;
    } else if options.take("COUNT") {
        let count = integer(options.need()?)?;
        if count <= 0 {
            return Err(Fault::Static("ERR COUNT must be > 0"));
        }
        parts.count = u64::try_from(count).ok();
    } else if may_store && options.take("STORE") {
        parts.target = Some(options.need()?);
        parts.store_distances = false;
    } else if may_store && options.take("STOREDIST") {
        parts.target = Some(options.need()?);
        parts.store_distances = true;
    } else if command == Command::Geosearchstore && options.take("STOREDIST") {
        parts.store_distances = true;
    } else if is_new_form && options.take("FROMMEMBER") {
        center(GeoCenter::Member(options.need()?), parts)?;
    } else if is_new_form && options.take("FROMLONLAT") {
        let position = position(options.need()?, options.need()?)?;
        center(GeoCenter::Position(position), parts)?;
    } else if is_new_form && options.take("BYRADIUS") {
        let (length, unit) = (options.need()?, options.need()?);
        radius(length, unit, parts)?;
    } else if is_new_form && options.left() >= 4 && options.take("BYBOX") {
        let width = parse_float(options.need()?).ok_or(Fault::Static("ERR need numeric width"))?;
        let height =
            parse_float(options.need()?).ok_or(Fault::Static("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(Fault::Static("ERR height or width cannot be negative"));
        }
        parts.unit = unit(options.need()?)?;
        let shape = GeoShape::Box(width * parts.unit, height * parts.unit);
        set_shape(shape, parts)?;
    } else {
        return Err(SYNTAX);
    }
    Ok(())
}

fn center<'a>(center: GeoCenter<'a>, parts: &mut Parts<'a>) -> Result<()> {
    match parts.center.replace(center) {
        None => Ok(()),
        Some(_) => Err(SYNTAX),
    }
}

fn radius(length: &[u8], word: &[u8], parts: &mut Parts<'_>) -> Result<()> {
    let length = parse_float(length).ok_or(Fault::Static("ERR need numeric radius"))?;
    if length < 0.0 {
        return Err(Fault::Static("ERR radius cannot be negative"));
    }
    parts.unit = unit(word)?;
    set_shape(GeoShape::Radius(length * parts.unit), parts)
}

fn set_shape(shape: GeoShape, parts: &mut Parts<'_>) -> Result<()> {
    match parts.shape.replace(shape) {
        None => Ok(()),
        Some(_) => Err(SYNTAX),
    }
}

impl<'a> Parts<'a> {
    fn finish(self, row: &Row) -> Result<Search<'a>> {
        let stores = self.target.is_some() || row.command == Command::Geosearchstore;
        if stores && self.with.contains(&true) {
            let what = match row.command {
                Command::Geosearchstore => "GEOSEARCHSTORE".to_owned(),
                _ => format!("STORE option in {}", row.name.to_uppercase()),
            };
            return Err(Fault::Text(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let center = self.center.ok_or_else(|| {
            Fault::Text(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}",
                row.name
            ))
        })?;
        let shape = self.shape.ok_or_else(|| {
            Fault::Text(format!(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for {}",
                row.name
            ))
        })?;
        if self.any && self.count.is_none() {
            return Err(Fault::Static(
                "ERR the ANY argument requires COUNT argument",
            ));
        }
        Ok(Search {
            spec: GeoSearch {
                center,
                shape,
                order: self.order,
                count: self.count,
                any: self.any,
            },
            unit: self.unit,
            with_distance: self.with[0],
            with_hash: self.with[1],
            with_position: self.with[2],
            target: self.target,
            store_distances: self.store_distances,
        })
    }
}

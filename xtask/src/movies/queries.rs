//! Queries over the films: the same over a collection with indexes and one without, page by page,
//! and the ids that the file itself gives.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::http::Api;

/// Documents of one page: most answers have several.
const PAGE: usize = 50;

type Film = Map<String, Value>;

/// A question about films.
struct Question {
    body: Value,
    /// The index that answers it where there are indexes.
    index: Option<&'static str>,
    /// Which films are meant, told without a database.
    is_meant: fn(&Film) -> bool,
}

fn number(film: &Film, field: &str) -> Option<f64> {
    film.get(field).and_then(Value::as_f64)
}

fn text<'a>(film: &'a Film, field: &str) -> &'a str {
    film.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn scores(film: &Film) -> impl Iterator<Item = (&str, f64)> {
    let ratings = film.get("Ratings").and_then(Value::as_array);
    let ratings = ratings.map(Vec::as_slice).unwrap_or_default();
    ratings
        .iter()
        .filter_map(|rating| Some((rating["source"].as_str()?, rating["score"].as_f64()?)))
}

#[rustfmt::skip]
fn questions() -> Vec<Question> {
    let ask = |body, index, is_meant| Question { body, index, is_meant };
    vec![
        ask(json!({}), None, |_| true),
        ask(json!({"filter": {"Major Genre": {"$eq": "Western"}}}), Some("by_genre"),
            |film| text(film, "Major Genre") == "Western"),
        ask(json!({"filter": {"IMDB Rating": {"$gt": 8.5}}}), None,
            |film| number(film, "IMDB Rating").is_some_and(|rating| rating > 8.5)),
        ask(json!({"filter": {"IMDB Rating": {"$gte": 8, "$lt": 8.3}, "IMDB Votes": {"$gt": 100_000}},
            "sort": {"IMDB Rating": -1, "IMDB Votes": 1}}),
            Some("by_rating"),
            |film| number(film, "IMDB Rating").is_some_and(|rating| (8.0..8.3).contains(&rating))
                && number(film, "IMDB Votes").is_some_and(|votes| votes > 100_000.0)),
        ask(json!({"filter": {"Major Genre": {"$in": ["Western", "Musical", "Documentary"]}}}),
            Some("by_genre"),
            |film| ["Western", "Musical", "Documentary"].contains(&text(film, "Major Genre"))),
        ask(json!({"filter": {"$and": [{"Major Genre": "Comedy"}, {"MPAA Rating": "G"}]}}),
            Some("by_genre"),
            |film| text(film, "Major Genre") == "Comedy" && text(film, "MPAA Rating") == "G"),
        ask(json!({"filter": {"$or": [{"Major Genre": "Western"}, {"Title": "Chicago"}]}}), None,
            |film| text(film, "Major Genre") == "Western" || text(film, "Title") == "Chicago"),
        ask(json!({"filter": {"Major Genre": null}}), Some("by_genre"),
            |film| film.get("Major Genre").is_none_or(Value::is_null)),
        ask(json!({"filter": {"Director": {"$exists": true, "$ne": null}, "MPAA Rating": "NC-17"}}), None,
            |film| !text(film, "Director").is_empty() && text(film, "MPAA Rating") == "NC-17"),
        ask(json!({"filter": {"Budget": {"$exists": false}, "Major Genre": "Musical"}}), Some("by_genre"),
            |film| text(film, "Major Genre") == "Musical"),
        ask(json!({"filter": {"Title": {"$regex": "^Star "}}, "sort": {"Title": 1}}), Some("by_title"),
            |film| text(film, "Title").starts_with("Star ")),
        ask(json!({"filter": {"Title": {"$regex": "the.*king", "$options": "i"}}}), None,
            |film| {
                let title = text(film, "Title").to_lowercase();
                title.find("the").is_some_and(|at| title[at + 3..].contains("king"))
            }),
        // Nine films have a number as their title.
        ask(json!({"filter": {"Title": {"$gt": 0}}, "sort": {"Title": 1}}), Some("by_title"),
            |film| number(film, "Title").is_some_and(|title| title > 0.0)),
        ask(json!({"filter": {"Ratings.score": 97}}), Some("by_score"),
            |film| scores(film).any(|(_, score)| (97.0..97.5).contains(&score))),
        ask(json!({"filter": {"Ratings.score": {"$gte": 97}}}), None,
            |film| scores(film).any(|(_, score)| score >= 97.0)),
        ask(json!({"filter": {"Ratings": {"$elemMatch": {"source": "IMDB", "score": {"$gt": 8.7}}}}}),
            None,
            |film| scores(film).any(|(source, score)| source == "IMDB" && score > 8.7)),
        ask(json!({"filter": {"Ratings": {"$size": 2}, "Major Genre": "Horror"}}), Some("by_genre"),
            |film| scores(film).count() == 2 && text(film, "Major Genre") == "Horror"),
        ask(json!({"filter": {"Director": "Woody Allen", "MPAA Rating": "R"}}), Some("restricted"),
            |film| text(film, "Director") == "Woody Allen" && text(film, "MPAA Rating") == "R"),
        ask(json!({"filter": {"Director": {"$nin": ["Woody Allen", null]}, "Major Genre": "Western"}}),
            Some("by_genre"),
            |film| !["Woody Allen", ""].contains(&text(film, "Director"))
                && text(film, "Major Genre") == "Western"),
        ask(json!({"filter": {"IMDB Rating": {"$gt": 8}}, "sort": {"IMDB Rating": -1, "IMDB Votes": 1}}),
            Some("by_rating"),
            |film| number(film, "IMDB Rating").is_some_and(|rating| rating > 8.0)),
        ask(json!({"filter": {"Major Genre": "Drama"}, "sort": {"Title": 1}, "projection": {"Title": 1}}),
            None, |film| text(film, "Major Genre") == "Drama"),
        ask(json!({"sort": {"Title": -1}, "projection": {"Title": 1, "Ratings.score": 1}}),
            Some("by_title"), |_| true),
        ask(json!({"sort": {"Major Genre": 1, "Title": 1}, "projection": {"Ratings": 0}}), None, |_| true),
        ask(json!({"filter": {"_id": {"$in": ["m0000", "m3200", "m9999"]}}}), None,
            |film| ["m0000", "m3200"].contains(&text(film, "_id"))),
        ask(json!({"jsonpath": "$.Ratings[?@.source == 'IMDB' && @.score > 8.8]"}), None,
            |film| scores(film).any(|(source, score)| source == "IMDB" && score > 8.8)),
        ask(json!({"filter": {"Major Genre": "Western"}, "jsonpath": "$.Ratings[?@.score > 90].score"}),
            Some("by_genre"),
            |film| text(film, "Major Genre") == "Western" && scores(film).any(|(_, score)| score > 90.0)),
    ]
}

fn pipelines() -> Vec<Value> {
    vec![
        json!([
            {"$match": {"Major Genre": {"$in": ["Western", "Horror"]}}},
            {"$group": {"_id": "$Major Genre", "films": {"$sum": 1},
                "best": {"$max": "$IMDB Rating"}, "gross": {"$sum": "$Worldwide Gross"}}},
            {"$sort": {"_id": 1}}
        ]),
        json!([
            {"$match": {"IMDB Rating": {"$gte": 8.5}}},
            {"$unwind": "$Ratings"},
            {"$group": {"_id": "$Ratings.source", "mean": {"$avg": "$Ratings.score"}}},
            {"$sort": {"_id": 1}}
        ]),
        json!([
            {"$match": {"Title": "Chicago"}},
            {"$lookup": {"from": "movies", "localField": "Director", "foreignField": "Director", "as": "others"}},
            {"$project": {"Title": 1, "others.Title": 1}}
        ]),
        json!([
            {"$sort": {"IMDB Rating": -1, "_id": 1}},
            {"$limit": 20},
            {"$project": {"Title": 1, "IMDB Rating": 1}}
        ]),
    ]
}

/// Asks everything twice; how many questions there were.
pub(super) fn compare(api: &Api, films: &[Film]) -> Result<usize> {
    let questions = questions();
    let pipelines = pipelines();
    for question in &questions {
        one(api, films, question).with_context(|| question.body.to_string())?;
    }
    for pipeline in &pipelines {
        let body = json!({ "pipeline": pipeline });
        let with = api.call("POST", "/documents/movies:aggregate", &body)?;
        let without = api.call("POST", "/documents/movies_plain:aggregate", &body)?;
        if with != without || with["results"].as_array().is_none_or(Vec::is_empty) {
            bail!("{pipeline}: {with} with indexes, {without} without");
        }
    }
    let western = films
        .iter()
        .filter(|film| text(film, "Major Genre") == "Western");
    let counted = api.call(
        "POST",
        "/documents/movies:aggregate",
        &json!({ "pipeline": pipelines[0] }),
    )?;
    if counted["results"][1]["films"] != western.count() {
        bail!("{counted} is not what the file says");
    }
    Ok(questions.len() + pipelines.len())
}

fn one(api: &Api, films: &[Film], question: &Question) -> Result<()> {
    let with = answers(api, "movies", &question.body)?;
    let without = answers(api, "movies_plain", &question.body)?;
    if with != without {
        bail!(
            "{} answers with indexes, {} without",
            with.len(),
            without.len()
        );
    }
    let mut found: Vec<&str> = with.iter().filter_map(|one| one["id"].as_str()).collect();
    found.sort_unstable();
    if question.body.get("jsonpath").is_some() {
        // Several nodes may be of one film.
        found.dedup();
    }
    let meant = films.iter().filter(|film| (question.is_meant)(film));
    let meant: Vec<&str> = meant.map(|film| text(film, "_id")).collect();
    if found != meant {
        bail!("{} films, the file has {}", found.len(), meant.len());
    }
    let explain = |collection: &str| -> Result<Value> {
        let path = format!("/documents/{collection}:explain");
        Ok(api.call("POST", &path, &question.body)?["index"].clone())
    };
    let (with, without) = (explain("movies")?, explain("movies_plain")?);
    if question.index.is_some_and(|index| with != index) || !without.is_null() {
        bail!("the index is {with}, and {without} without");
    }
    Ok(())
}

/// All pages. Without a sort the order is nobody's promise, so it is that of the ids.
fn answers(api: &Api, collection: &str, body: &Value) -> Result<Vec<Value>> {
    let path = format!("/documents/{collection}:query");
    let mut body = body.clone();
    body["limit"] = json!(PAGE);
    let mut all: Vec<Value> = Vec::new();
    loop {
        let page = api.call("POST", &path, &body)?;
        let list = page.get("documents").or(page.get("nodes"));
        let list = list.and_then(Value::as_array);
        for one in list.context("neither documents nor nodes")? {
            let mut one = one.clone();
            if let Some(one) = one.as_object_mut() {
                // Of the collection, not of the film.
                one.remove("version");
            }
            all.push(one);
        }
        match &page["next"] {
            Value::Null => break,
            next => body["page"] = next.clone(),
        }
    }
    if body.get("sort").is_none() {
        all.sort_by_key(|one| (one["id"].to_string(), one["path"].to_string()));
    }
    Ok(all)
}

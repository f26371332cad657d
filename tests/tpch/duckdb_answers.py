"""Answers the TPC-H queries with DuckDB over the same csv files, one output file per query.

Arguments: folder of the csv files, schema file, folder of the queries, output folder.
"""

import pathlib
import sys

import duckdb

data, schema, queries, answers = map(pathlib.Path, sys.argv[1:5])
connection = duckdb.connect()
connection.execute(schema.read_text())
for file in sorted(data.glob("*.csv")):
    connection.execute(f"COPY {file.stem} FROM '{file}' (FORMAT csv, HEADER true)")
for file in sorted(queries.glob("q*.sql")):
    target = answers / f"{file.stem}.csv"
    # The query's own order is kept; the delimiter is the one of the published answers.
    text = file.read_text().strip().rstrip(";")
    rows = connection.execute(text)
    names = [column[0] for column in rows.description]
    with target.open("w") as out:
        out.write("|".join(names) + "\n")
        for row in rows.fetchall():
            out.write("|".join("" if value is None else str(value) for value in row) + "\n")

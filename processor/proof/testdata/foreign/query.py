"""Answers one query of docs/analytics.md in DuckDB, and prints it as CSV.

    query.py FOLDER TABLES.sql QUERY.sql [NAME=VALUE...]

FOLDER holds records.jsonl. NAME=VALUE sets one of the page's variables. What is null is printed as nothing.
"""

import csv
import os
import sys

import duckdb


def main():
    folder, tables, query, *variables = sys.argv[1:]
    os.chdir(folder)
    db = duckdb.connect()
    with open(tables, encoding="utf-8") as sql:
        db.execute(sql.read())
    for variable in variables:
        name, value = variable.split("=", 1)
        kind = "" if name == "zone" else "TIMESTAMPTZ "
        db.execute(f"SET VARIABLE {name} = {kind}'{value}'")
    with open(query, encoding="utf-8") as sql:
        db.execute(sql.read())
    out = csv.writer(sys.stdout)
    out.writerow(column[0] for column in db.description)
    out.writerows(db.fetchall())


if __name__ == "__main__":
    main()

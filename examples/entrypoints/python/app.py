"""A web application that counts its visits in a database, for clients that have the token."""

import hmac
import os
import sqlite3

TOKEN = os.environ["APP_TOKEN"]
DATABASE = os.environ["DATABASE"]


def app(environ, start_response):
    def answer(status, text):
        start_response(status, [("Content-Type", "text/plain")])
        return [text.encode()]

    if environ["PATH_INFO"] == "/health":
        return answer("200 OK", "well\n")
    if not hmac.compare_digest(environ.get("HTTP_AUTHORIZATION", ""), f"Bearer {TOKEN}"):
        return answer("401 Unauthorized", "this is for clients with a token\n")
    database = sqlite3.connect(DATABASE)
    with database:
        database.execute("UPDATE visits SET count = count + 1")
        (count,) = database.execute("SELECT count FROM visits").fetchone()
    database.close()
    return answer("200 OK", f"visit {count}\n")

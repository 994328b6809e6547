"""A web application that counts visits in a database. Clients need a token."""

import hmac
import os
import sqlite3

TOKEN = os.environ["APP_TOKEN"]
DATABASE = os.environ["DATABASE"]


def app(environ, start_response):
    def respond(status, text):
        start_response(status, [("Content-Type", "text/plain")])
        return [text.encode()]

    if environ["PATH_INFO"] == "/health":
        return respond("200 OK", "healthy\n")
    if not hmac.compare_digest(environ.get("HTTP_AUTHORIZATION", ""), f"Bearer {TOKEN}"):
        return respond("401 Unauthorized", "a valid token is required\n")
    database = sqlite3.connect(DATABASE)
    with database:
        database.execute("UPDATE visits SET count = count + 1")
        (count,) = database.execute("SELECT count FROM visits").fetchone()
    database.close()
    return respond("200 OK", f"visit {count}\n")

"""Updates the database to the version that the application needs."""

import os
import sqlite3

STEPS = ["CREATE TABLE visits (count INTEGER)", "INSERT INTO visits VALUES (0)"]

database = sqlite3.connect(os.environ["DATABASE"], isolation_level=None)
(version,) = database.execute("PRAGMA user_version").fetchone()
for number, step in enumerate(STEPS[version:], version + 1):
    database.executescript(f"BEGIN; {step}; PRAGMA user_version = {number}; COMMIT")
    print(f"the database has version {number}", flush=True)

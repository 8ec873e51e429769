from altcredit.main import run

run()

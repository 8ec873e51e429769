from altcredit_connector.main import run

run()

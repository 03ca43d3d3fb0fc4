"""An installer's client: keys, reports of health from the doorbells, their table, and the page that shows it."""

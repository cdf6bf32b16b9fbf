"""The report: `page` renders a record, `elements` are the parts of a page, `style` the looks of its pictures."""

"""/docs in a browser: Swagger UI from our own files, and an example that works as it stands."""

import re

from playwright.sync_api import expect


def test_the_documentation_renders_without_the_internet_and_its_example_works(visit, product):
    """Open, Execute, 200: nobody has to look for a picture first."""
    tab = visit(product, "/docs")
    operation = tab.page.locator("#operations-classification-predict_classification")
    operation.locator(".opblock-summary-control").click()
    expect(operation.get_by_label("Request content type")).to_have_value("application/json")
    expect(operation.locator("textarea")).to_have_value(re.compile("data:image/png;base64,"))
    with tab.page.expect_response("**/v1/models/classification/predictions*") as answer:
        operation.get_by_role("button", name="Execute").click()
    assert answer.value.status == 200
    live = operation.locator(".live-responses-table tbody .response-col_status")
    expect(live.first).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text('"probability"')
    assert tab.watch.strangers(product.url) == []
    assert tab.watch.errors == []

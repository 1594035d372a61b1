"""Brush and box on the part page in a real Chromium: what is drawn is what is published, in pixels of the frame."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from api.access.tokens import issue_token
from api.teach import export_marks
from fusion.training.cases import released_labels
from fusion.training.frames import training_frames
from ingest.folder.replay_folder import Folder
from ingest.log.seam import Record
from ingest.messages import Defect, json_decoder
from tests.api.conftest import Live, until
from tests.api.factory import keep_evidence, make_findings, make_verdict, make_visit, publish
from vision.marks import covered, kinds_of

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 320, 256  # of the factory's picture
PIXELS_OFF_MAX = 1.5  # a screen pixel is up to a frame pixel wide here


def make_part(live: Live, part: str) -> None:
    frame_ref, heatmap_ref, evidence_ref = keep_evidence(live.settings, part)
    seen = make_findings(part, frame_ref=frame_ref, heatmap_ref=heatmap_ref)
    publish(
        live.log,
        live.settings,
        production=[make_visit(part)],
        findings=[seen],
        verdicts=[make_verdict(part, evidence_ref=evidence_ref)],
    )
    until(lambda: live.service.here.reader.findings(part), "the findings in the store")
    until(lambda: (record := live.service.here.reader.part(part)) and record.cases, "the verdict in the store")


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'qa')}")
    for part in ("K1", "K2", "K3"):
        make_part(live, part)
    return browser


def open_part(browser: webdriver.Chrome, live: Live, part: str) -> WebElement:
    """The part's page with its picture there; the drawing over it."""
    browser.get(f"{live.base}/parts/{part}")
    until(lambda: browser.execute_script("return !!document.querySelector('svg.marks').dataset.width"), "the picture")
    drawing: WebElement = browser.find_element(By.CSS_SELECTOR, "svg.marks")
    return drawing


def offset(drawing: WebElement, x: float, y: float) -> tuple[int, int]:
    """A place of the frame as selenium wants it: from the middle of the element, in whole screen pixels."""
    shown = drawing.rect
    return round((x / WIDTH - 0.5) * shown["width"]), round((y / HEIGHT - 0.5) * shown["height"])


def drag(browser: webdriver.Chrome, drawing: WebElement, *places: tuple[float, float]) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawing)
    moving = ActionChains(browser, duration=30)
    moving.move_to_element_with_offset(drawing, *offset(drawing, *places[0])).click_and_hold()
    for place in places[1:]:
        moving.move_to_element_with_offset(drawing, *offset(drawing, *place))
    moving.release().perform()


def press(browser: webdriver.Chrome, key: str) -> None:
    browser.find_element(By.TAG_NAME, "body").send_keys(key)
    time.sleep(0.08)  # as a hand does: slower than a scanner


def said(browser: webdriver.Chrome) -> str:
    told: str = browser.find_element(By.ID, "mark-said").text
    return told


def published(live: Live, part: str) -> list[Defect]:
    reader = live.log.reader([live.settings.topic("defects")], "beginning")
    found: list[Record] = []
    while got := reader.poll(0.2):
        found += got
    reader.close()
    defects = [json_decoder(Defect).decode(record.body or b"") for record in found]
    return [defect for defect in defects if defect.part_id == part]


def near(seen: Any, meant: Any) -> None:
    assert seen == pytest.approx(meant, abs=PIXELS_OFF_MAX)


def test_a_stroke_and_a_box_are_published_in_pixels_of_the_frame(opened: webdriver.Chrome, live: Live) -> None:
    drawing = open_part(opened, live, "K1")
    assert "Draw over a defect" in said(opened)
    opened.find_element(By.NAME, "defect_code").send_keys("burr", Keys.TAB)
    assert "Marks of burr so far on camera top: 0 of 10" in said(opened)
    press(opened, "m")
    opened.execute_script("const w = document.getElementById('mark-width'); w.value = 12")
    drag(opened, drawing, (100, 60), (150, 80), (200, 140))
    press(opened, "r")
    drag(opened, drawing, (60, 200), (20, 170))
    assert "2 marks drawn" in said(opened)
    assert "2 with these" in said(opened)
    press(opened, "d")
    until(lambda: published(live, "K1"), "the review on the log")
    (record,) = published(live, "K1")
    stroke, box = record.drawn
    assert (stroke.kind, stroke.camera_id, box.kind) == ("burr", "top", "burr")
    assert stroke.stroke is not None
    assert stroke.stroke.width_px == 12
    near(stroke.stroke.points[0], (100, 60))
    near(stroke.stroke.points[-1], (200, 140))
    assert min(abs(x - 150) + abs(y - 80) for x, y in stroke.stroke.points) < 4
    assert box.box is not None
    near((box.box.x, box.box.y, box.box.width, box.box.height), (20, 170, 40, 30))


def test_marks_that_were_kept_are_shown_and_counted(opened: webdriver.Chrome, live: Live) -> None:
    open_part(opened, live, "K1")
    assert len(opened.find_elements(By.CSS_SELECTOR, ".mark.recorded")) == 2
    open_part(opened, live, "K2")
    kinds = "return [...document.querySelectorAll('#defect-codes option')].map((one) => one.textContent)"
    until(lambda: "burr" in opened.execute_script(kinds), "the kinds known so far")
    opened.find_element(By.NAME, "defect_code").send_keys("burr", Keys.TAB)
    assert "2 of 10 needed to teach the eye" in said(opened)


def test_what_was_drawn_on_the_screen_is_what_training_reads(
    opened: webdriver.Chrome, live: Live, tmp_path: Path
) -> None:
    export_marks(live.settings, "top", tmp_path / "out", lambda _: None)
    folder = Folder(tmp_path / "out")
    (frame,) = training_frames(folder, released_labels(folder.defects(), None), None, lambda _: None)["top"]
    assert (frame.part_id, frame.good, kinds_of(frame.marks)) == ("K1", False, ("burr",))
    seen = covered(frame.marks, WIDTH, HEIGHT, HEIGHT, WIDTH)
    for x, y in ((100, 60), (150, 80), (200, 140), (40, 185), (23, 173)):
        assert seen[y, x]
    for x, y in ((100, 75), (150, 60), (215, 140), (40, 205), (65, 185)):
        assert not seen[y, x]


def test_undo_clear_and_escape_take_back(opened: webdriver.Chrome, live: Live) -> None:
    drawing = open_part(opened, live, "K2")
    opened.find_element(By.CSS_SELECTOR, "[data-tool=box]").click()
    for place in ((20, 20), (60, 60), (100, 100)):
        drag(opened, drawing, place, (place[0] + 20, place[1] + 15))
    drag(opened, drawing, (200, 200), (200, 200))  # a click is no box
    drawn = "return marks.forReview().length"
    assert opened.execute_script(drawn) == 3
    press(opened, "z")
    assert opened.execute_script(drawn) == 2
    press(opened, "o")  # marks are not thrown away unasked
    assert "press D, or clear them first" in opened.find_element(By.ID, "said").text
    press(opened, Keys.ESCAPE)
    assert "/parts/K2" in opened.current_url
    assert opened.find_element(By.CSS_SELECTOR, "[data-tool=box]").get_attribute("aria-pressed") == "false"
    opened.find_element(By.ID, "mark-clear").click()
    assert opened.execute_script(drawn) == 0
    assert not opened.find_elements(By.CSS_SELECTOR, ".mark")
    assert not opened.find_element(By.ID, "mark-undo").is_enabled()


@pytest.mark.parametrize("kind", ["touch", "pen"])
def test_a_finger_and_a_pen_draw_too(opened: webdriver.Chrome, live: Live, kind: str) -> None:
    drawing = open_part(opened, live, "K3")
    press(opened, "m")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawing)
    pointer = PointerInput(kind, f"the {kind}")
    builder = ActionBuilder(opened, mouse=pointer, duration=30)
    builder.pointer_action.move_to(drawing, *offset(drawing, 80, 80)).pointer_down()
    builder.pointer_action.move_to(drawing, *offset(drawing, 160, 120)).pointer_up()
    builder.perform()
    (mark,) = opened.execute_script("return marks.forReview()")
    near(mark["stroke"]["points"][0], (80, 80))
    near(mark["stroke"]["points"][-1], (160, 120))
    press(opened, "z")


def test_what_the_eye_saw_is_taken_as_marks_with_one_key(opened: webdriver.Chrome, live: Live) -> None:
    open_part(opened, live, "K3")
    press(opened, "t")
    press(opened, "t")  # once is enough
    (mark,) = opened.execute_script("return marks.forReview()")
    assert mark["box"] == {"x": 150, "y": 70, "width": 34, "height": 30}
    press(opened, "z")
    assert opened.execute_script("return marks.forReview().length") == 0


def test_when_the_marks_so_far_cannot_be_asked_drawing_goes_on(opened: webdriver.Chrome, live: Live) -> None:
    opened.execute_cdp_cmd("Network.enable", {})
    opened.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/api/marks*"]})
    try:
        drawing = open_part(opened, live, "K3")
        opened.find_element(By.NAME, "defect_code").send_keys("burr", Keys.TAB)
        until(lambda: "cannot be said just now" in said(opened), "the error to be told")
        press(opened, "r")
        drag(opened, drawing, (20, 20), (60, 60))
        assert "1 mark drawn" in said(opened)
        press(opened, "z")
    finally:
        opened.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})


def test_a_refused_mark_says_so_and_nothing_is_lost(opened: webdriver.Chrome, live: Live) -> None:
    drawing = open_part(opened, live, "K3")
    press(opened, "r")
    drag(opened, drawing, (20, 20), (60, 60))
    opened.execute_script("marks.drawn[0].mark.frame_id = 'another'")
    press(opened, "d")
    until(lambda: "Not recorded" in opened.find_element(By.ID, "said").text, "the refusal")
    assert "no frame another" in opened.find_element(By.ID, "said").text
    assert opened.execute_script("return marks.forReview().length") == 1
    assert not published(live, "K3")
    press(opened, Keys.ESCAPE)
    press(opened, "z")

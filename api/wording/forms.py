"""The forms of sentences that the judge, models and the collector write.

`api/wording/phrases.py` says them in the reader's language; tests/api/test_said.py finds whoever writes a new one.
"""

from __future__ import annotations

#: The forms, the narrower before the wider.
PHRASES = (
    # causes: fusion/causes/ranking.py, witness.py, good_only.py, suspects.py
    "{share} likely by {number} labelled defects of this cause",
    "no single channel, camera or attribute explains the risk",
    "{entity}: mean risk of its parts lately {ratio} times the line's ({parts} parts, older ones count less)",
    "{entity}: released defect rate lately {ratio} times the line's ({defects} of {labels} labelled, {expected} "
    "expected, older ones count less)",
    "{entity}: mean risk of its parts lately {ratio} times the line's",
    "{entity}: released defect rate lately {ratio} times the line's",
    "frame {frame}: score {score}, threshold {limit}",
    "frame {frame}: score {score}",
    "region x {x} y {y} {width} × {height} px, score {score}",
    "region x {x} y {y} {width} × {height} px, score {score} {kind}",
    "{entity}: max {most} {unit} over the limit {limit} {unit}",
    "{entity}: min {least} {unit} under the limit {limit} {unit}",
    "{entity}: over the golden band from {since} to {until} ms of its {cycle} ms cycle, {spreads} standard "
    "deviations at most; {share} of the cycle outside",
    "{entity}: under the golden band from {since} to {until} ms of its {cycle} ms cycle, {spreads} standard "
    "deviations at most; {share} of the cycle outside",
    "{entity}: {measure} {value} {unit}, good parts {low}..{high} {unit}",
    "{entity}: {measure} {value}, good parts {low}..{high}",
    "{entity}: {value} of the means, good parts {low}..{high}",
    "{entity}: no label behind this; {spreads} standard deviations off good parts, {usual} are usual at most "
    "(mean of alone and given the other channels)",
    "incident since {when}: {ratio} times the expected defects",
    "{attribute} at {station}",
    # certificates: fusion/certificate/fit.py, standing.py; the shorter alone and with what it concerns
    "the plan says something else of this gate than in training; train again",
    "a camera is frozen",
    "dirt on a lens",
    "a camera moved",
    "an eye flags more than it promised",
    "more defects or flags than expected",
    "a source moved and explains more flags than expected",
    "drift",
    "risks are not what labels say",
    "parts are unlike those of training",
    "the line is in manual mode",
    "{doubt} ({entity})",
    "{origin} is missing or unfit more often than in training",
    "no model is ready.",
    "the model was trained without enough labels, or before this.",
    "{lots} lots are too few to know how much lots differ; {least} at least, {more} more.",
    "only {share} of the parts have a label ({labelled} at least), and nobody knows what escaped among the others.",
    "no labelled part was defective.",
    "{at} of {total} parts would have escaped, more than is asked; lower the threshold.",
    "{at} of {total} parts would have escaped, so the rate may be {rate}; about {more} lots more would do.",
    "{at} of {total} parts would have escaped, so the rate may be {rate}; even {times} times would not do.",
    "{why} Without any inspection {rate} would escape.",
    # the plan's limits against each other: fusion/decide.py
    "The plan's limits cannot both be held: at most {bound} % escapes takes {reviews} % reviews ({allowed} % allowed; "
    "the share gives way), and {allowed} % reviews would let {escaping} % escape.",
    "The plan's limits cannot both be held: at most {bound} % escapes takes {reviews} % reviews ({allowed} % allowed; "
    "the share gives way), and {allowed} % reviews would let {escaping} % escape. To review every part would cost "
    "less: {now} a part, not {cost}.",
    # what training never saw: fusion/novelty
    "product {entity} is none of those learned: {others}",
    "{attribute} at {station} is new; the ones that were learned would make the odds {low} to {high} times what they "
    "are",
    "{attribute} is new; the ones that were learned would make the odds {low} to {high} times what they are",
    "{attribute} at {station} is new; the risk does not depend on it",
    "{attribute} is new; the risk does not depend on it",
    "the values together are {ratio} times as unusual as any learned",
    "{entity}: {measured} {now}; with the rest of the part as it is, {low} would be usual",
    "{entity}: {measured} {now}, beyond {low}..{high}, farther than training ever saw",
    # incidents of cameras: fusion/cameras/words.py
    "Camera {camera} gives the same picture for different parts ({parts} so far): it, its cable or its driver "
    "hangs. Restart it; these parts cannot be judged by it.",
    "Camera {camera} sees a mark that stays at one place (x {x}, y {y}, {width} x {height} pixels) on {parts} "
    "parts: dirt on its lens or window, or the same damage on every part. Wipe it, and look at these parts.",
    "Camera {camera} sees a mark that stays at one place (x {x}, y {y}, {width} x {height} pixels) and at "
    "{number} more on {parts} parts: dirt on its lens or window, or the same damage on every part. Wipe it, and "
    "look at these parts.",
    "Camera {camera} sees its parts {off} pixels ({across}, {along}) from where they usually are: it or the "
    "fixture moved. Put it back, or train its eye again.",
    "Camera {camera} flags {flagged} % of good parts ({alarms} of {parts}); its eye promised {promised} %. Train "
    "it again, or at least cut its threshold anew.",
    "Camera {camera} flags {flagged} % of parts, none of them labelled (some may be defects), ({alarms} of "
    "{parts}); its eye promised {promised} %. Train it again, or at least cut its threshold anew.",
    "{x} right",
    "{x} left",
    "{y} down",
    "{y} up",
    # incidents of tools and lots: fusion/scan/words.py
    "{observed} defects among {parts} labelled parts where {expected} are usual of such parts ({times} times)",
    "{flagged} flags among {of} parts where {usual} are usual of such parts ({more} times)",
    "{observed} defects among {parts} labelled parts where {expected} are usual of such parts ({times} times) "
    "and {flagged} flags among {of} parts where {usual} are usual of such parts ({more} times)",
    "Parts with {entity}: {figures}. Look there first, and hold the parts exposed to it.",
    "Parts with {entity}: {figures}. On these parts it cannot be told apart from {others}. Look there first, and "
    "hold the parts exposed to it.",
    "All parts alike: {figures}. No single attribute explains it: look for what changed for the whole line.",
    # incidents of channels: fusion/drift/words.py
    "{entity}: {measured} {now} since {when}, {low} to {high} in training (means of {parts} parts). What models "
    "learned from is no longer what they see here.",
    "{entity} moved up by {spreads} standard deviations of a part since {when}; without this shift {share} of "
    "the {flags} flags in excess among the latest {parts} parts would not be. Check it (sensor, tool, light) "
    "before the parts.",
    "{entity} moved down by {spreads} standard deviations of a part since {when}; without this shift {share} of "
    "the {flags} flags in excess among the latest {parts} parts would not be. Check it (sensor, tool, light) "
    "before the parts.",
    "The latest {parts} parts can be told from training's since {when} (AUC {auc}; periods of training differ by "
    "up to {allowed}); most by {others}. Train again if this is how the line now is.",
    "Signals of the latest {parts} parts no longer go together as they did, since {when}: taken together they vary "
    "{ratio} times as much as in training (periods of training differ by up to {allowed} times); most {others}. Look "
    "for a new kind of part, tool or coupling; train again if this is how the line now is.",
    "Signals of the latest {parts} parts no longer go together as they did, since {when}: taken together they vary "
    "{ratio} times less than in training (periods of training differ by up to {allowed} times); most {others}. Look "
    "for a new kind of part, tool or coupling; train again if this is how the line now is.",
    # what charts cannot show yet: fusion/drift/watched.py
    "History too short for drift: {not_yet} of {signals} signals are not watched in earnest on {parts} parts "
    "({shown}); looked at again from {again} quiet parts on.",
    "half of the signals show shifts from {spreads} standard deviations of a part on",
    "no shift is seen",
    # incidents of risks: fusion/calibration/gate.py
    "Risks of gate {gate} {calibrated} since {when}: {bad} of {parts} labelled parts were defects, {expected} "
    "were expected. Recalibrated from {labels} labels of {lots} lots; if it lasts, train the model again.",
    "mean {ratio} times what they say",
    "mean {ratio} times what they say, high ones less than that",
    "mean {ratio} times what they say, high ones more than that",
    "{calibrated}; most of {group}, whose odds are {odds} times that",
    "parts with all sources",
    "parts without {entity}",
    "product {entity}",
    # why a role has no model: models/open.py, places.py, fusion/gate.py
    "no live version of {name}; train or promote",
    "no live version of {name} ({error}); train or promote",
    "version {version} is not a number",
    "the manifest is of {name} {version}; restore or retrain",
    "its features differ from those asked for (only in the model: {others}, only asked: {more_others}); retrain",
    "the order of its features is not the one asked for; retrain",
    "inputs or outputs differ from the manifest; restore or retrain",
    "onnxruntime does not run it ({error})",
    "onnxruntime does not open it ({error}); retrain",
    "sha256 differs from the manifest; restore or retrain",
    "sha256 differs from {file}; restore or retrain",
    "not a manifest of this version of qcfuse ({error}); retrain",
    "cannot be read ({error}); restore or retrain",
    "{model}: notes do not fit ({error}); retrain",
    "{model}: notes of version {version}; retrain",
    "{model}: notes of another kind of eye ({error})",
    "{model}: its {file} is not an eye; retrain",
    "{model}: its {file} is not the one of its notes; retrain",
    "{model}: notes and graph disagree; retrain",
    "{model}: learned from {others}, not allowed by the plan; retrain",
    # why nothing is collected: api/collect.py, api/store/database.py
    "the store does not answer: {error}",
    "another collector holds the store's lease",
)

#: What stands in a place, where it is neither a figure nor a name: also said in the reader's language.
MEASURES = {
    "mean": "mean",
    "std": "spread",
    "spread": "spread",
    "min": "least",
    "max": "most",
    "first": "at the beginning",
    "last": "at the end",
    "slope": "slope",
    "spread within a cycle (standard deviation)": "spread within a cycle (standard deviation)",
    "mean distance from the golden cycle in its standard deviations": "mean distance from the golden cycle",
    "distance from the form of the golden cycle in its standard deviations": "distance from the golden form",
    "score as a share of its threshold": "score as a share of its threshold",
    "mean brightness (0 to 1)": "mean brightness (0 to 1)",
    "contrast in grey levels": "contrast in grey levels",
    "sharpness (log ratio)": "sharpness (log ratio)",
    "distance from the golden cycle": "mean distance from the golden cycle",
    "offset from the golden cycle": "offset from the golden cycle",
    "score over threshold": "score as a share of its threshold",
    "no single signal": "no single signal",
    "standard deviations": "standard deviations",
    "place of the part to the right, pixels,": "place of the part to the right, in pixels",
    "place of the part downwards, pixels,": "place of the part downwards, in pixels",
}

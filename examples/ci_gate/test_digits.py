"""A test by hand, beside the gates that pytest makes of suite.yaml: see pytest.ini."""

from digits import classifier


def test_noise_alone_breaks_little(robustness):
    suite = {
        "version": 1,
        "name": "weak",
        "data": {"mnist": {"samples": 200}},
        "attacks": [{"fgsm": {"epsilon": 0.01}}],
    }
    results = robustness.run(suite, model=classifier())
    rows = results.samples()
    assert (rows["status"] == "ok").all()
    assert (rows["adv_pred"] == rows["label"]).mean() > 0.8

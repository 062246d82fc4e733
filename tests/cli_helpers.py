"""What tests of commands share."""


def assert_refused(result, message):
    """Status 2 and one line on standard error that holds the message."""
    status, out, err = result
    assert (status, out) == (2, "")
    assert err.startswith("gluonbook: ")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err

import logging, os, subprocess, tempfile
import pytest, structlog

@pytest.mark.logs("stray.event")
def test_it() -> None:
    structlog.get_logger().error('stray.event', n=1)

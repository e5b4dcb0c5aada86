import logging, os, subprocess, tempfile
import pytest, structlog

def test_it() -> None:
    structlog.get_logger().error('stray.event', n=1)

from benchmarks.soak import soak
from bundle.store import Bundle
from tests.service.running import serving


async def test_random_cancellations_and_deadlines_leave_every_other_call_right(shipped: Bundle) -> None:
    with serving() as server:
        report = await soak(server.target, server.process.pid, shipped, clients=64, seconds=5)
        assert server.stop() == 0
        # "Unexpected" is gRPC's word for an exception that escapes a servicer.
        assert [line for line in server.log if " ERROR service." in line or "Unexpected" in line] == []
    assert report.problems() == []
    assert min(report.outcomes[kind] for kind in ("answered", "cancelled", "late")) > 0

"""The GPUs of live workers, what jobs run on them, and what others use of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.jobs.devices import GPU, foreign_use
from versemill.jobs.execution.admission import admitted
from versemill.jobs.service.why_waiting import live_workers
from versemill.jobs.views import DeviceView

if TYPE_CHECKING:
    from versemill.jobs.storage.unit_of_work import Store


def devices_in_use(store: Store) -> list[DeviceView]:
    """Each GPU of each live worker, as that has last measured it.

    Args:
        store: where they are.
    """
    workers = live_workers(store)
    with store.reading() as session:
        running = admitted(session)
    return [
        DeviceView(
            worker=worker.name,
            id=device.id,
            name=device.name,
            index=device.index,
            memory=device.memory,
            free=device.free,
            jobs=tuple(sorted(job.job_id for job in running.get(device.id, ()))),
            most_jobs=device.max_jobs,
            foreign=foreign_use(device, running.get(device.id, ())),
            utilisation=device.utilisation,
        )
        for worker in workers
        for device in worker.devices or ()
        if device.kind == GPU
    ]

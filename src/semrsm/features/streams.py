"""Images that others bring in their own order: torch's DataLoader, generators, iterables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from ..errors import InputError
from ..tokens import image_ids
from .images import ImageSource, Read
from .items import images_of


class LoaderSource(ImageSource):
    """The images of a DataLoader over a data set with indices, in the order of its sampler.

    The sampler is asked once, so that each image has the id that it has in the data set. The
    collate function gets one item at a time.

    Parameters
    ----------
    loader : torch.utils.data.DataLoader
    preprocess : callable or None
        For a loader of photographs.

    Raises
    ------
    InputError
        If the sampler draws an image twice.
    """

    def __init__(self, loader: Any, preprocess: Callable[[Any], Any] | None) -> None:
        self._loader = loader
        self._dataset = loader.dataset
        self._order = _drawn(loader)
        names = ids_of(self._dataset)
        ids = [str(i) if names is None else names[i] for i in self._order]
        super().__init__(ids, self._item, preprocess)
        self.batch_size = loader.batch_size

    def _item(self, place: int) -> Any:
        index = self._order[place]
        if self._loader.batch_sampler is None:
            return self._loader.collate_fn(self._dataset[index])
        several = getattr(self._dataset, "__getitems__", None)
        items = several([index]) if several else [self._dataset[index]]
        return _OneByOne(self._loader.collate_fn)(items)[0]

    def check_repeatable(self) -> None:
        """Refuse a loader that shuffles: a later call would have another order."""
        if _drawn(self._loader) != self._order:
            raise InputError(
                "out: expected images in a fixed order, so that an interrupted extraction can go "
                f"on; the DataLoader shuffles ({type(self._loader.sampler).__name__}). Pass one "
                "with shuffle=False, or its data set"
            )

    def reads(self, size: int, on_error: str, first: int) -> Iterator[Read]:
        """Yield batches, read by the workers of the loader where it has any."""
        if not self._loader.num_workers or self._loader.batch_sampler is None:
            yield from super().reads(size, on_error, first)
            return
        from torch.utils.data import DataLoader

        total = len(self.ids)
        starts = range(first // size * size, total if first < total else 0, size)
        plan = [self._order[start : start + size] for start in starts]
        workers = iter(
            DataLoader(
                self._dataset,
                batch_sampler=plan,
                collate_fn=_OneByOne(self._loader.collate_fn),
                num_workers=self._loader.num_workers,
                prefetch_factor=self._loader.prefetch_factor,
                timeout=self._loader.timeout,
                worker_init_fn=self._loader.worker_init_fn,
                multiprocessing_context=self._loader.multiprocessing_context,
            )
        )
        for start in starts:
            stop = min(start + size, total)
            get = self._get
            try:
                items = next(workers)
                self._get = partial(_place_in, items, start)
            except OSError:  # read once more, one by one, to find out which
                if on_error == "raise":
                    raise
            try:
                yield self._told(start, stop, on_error)
            finally:
                self._get = get


def _place_in(items: Sequence[Any], start: int, place: int) -> Any:
    return items[place - start]


class _OneByOne:
    """A collate function of items that are collated one by one."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        found = []
        for item in items:
            images = images_of(self._collate([item]), "images")
            if len(images) != 1:
                raise InputError(
                    "images: expected the DataLoader to give one image for each item of its data "
                    f"set; its collate function gives {len(images)}"
                )
            found += images
        return found


def _drawn(loader: Any) -> list[int]:
    """Return the indices that the sampler of a loader draws for one pass, each of them once."""
    order: list[int] = []
    seen = set()
    batches = loader.batch_sampler
    for index in loader.sampler if batches is None else (i for batch in batches for i in batch):
        if index in seen:  # at once: some samplers never end
            raise InputError(
                f"images: expected each image once; the sampler of the DataLoader "
                f"({type(loader.sampler).__name__}) draws image {index} again"
            )
        seen.add(index)
        order.append(int(index))
    if not order:
        raise InputError("images: expected at least one image; the DataLoader is empty")
    return order


def ids_of(dataset: Any) -> tuple[str, ...] | None:
    """Return the ids that a data set has, or those of the data set that it is a part of."""
    names = getattr(dataset, "ids", None)
    if names is not None:
        return image_ids(names, len(dataset), "images.ids")
    whole, indices = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
    if whole is None or indices is None or (inner := ids_of(whole)) is None:
        return None
    return tuple(inner[int(i)] for i in indices)


class StreamSource(ImageSource):
    """Images that come one after the other, or batch by batch, once.

    Parameters
    ----------
    items : iterable
        Images or batches of them, as :func:`semrsm.features.items.images_of` takes them.
    preprocess : callable or None
        For photographs.

    Raises
    ------
    InputError
        If there are none.
    """

    total = None

    def __init__(self, items: Iterable[Any], preprocess: Callable[[Any], Any] | None) -> None:
        super().__init__((), self._kept, preprocess)
        self._kind = type(items).__name__
        self._items = iter(items)
        self._waiting: list[Any] = []  # images that have come, from the place `_start` on
        self._start = 0
        if not self._more(1):
            raise InputError("images: expected at least one image; got none")

    def check_repeatable(self) -> None:
        """Refuse: what has been read of a stream does not come again."""
        raise InputError(
            "out: expected images that can be read again, so that an interrupted extraction can go "
            f"on; got {self._kind}. Pass a folder, a list or a data set, or extract into memory "
            "and save the features"
        )

    def _kept(self, place: int) -> Any:
        return self._waiting[place - self._start]

    def _more(self, count: int) -> bool:
        """Wait until `count` images are there; return whether any is."""
        while len(self._waiting) < count:
            try:
                item = next(self._items)
            except StopIteration:
                break
            self._waiting += images_of(item, f"images[{self._start + len(self._waiting)}]")
        self.ids = _Numbers(self._start + len(self._waiting))
        return bool(self._waiting)

    def reads(self, size: int, on_error: str, first: int) -> Iterator[Read]:
        """Yield all images in batches of `size`, to their end."""
        while self._more(size):
            stop = min(self._start + size, len(self.ids))
            yield self._told(self._start, stop, on_error)
            del self._waiting[: stop - self._start]
            self._start = stop


class _Numbers(Sequence[str]):
    """The numbers from 0 on as text, none of them kept."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        return str(range(self._count)[place])

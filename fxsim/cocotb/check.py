"""One tap's values as they come, in order, against the model's."""

from collections.abc import Callable, Iterable
from typing import NoReturn

from fxsim.cocotb.layout import in_order, index_of
from fxsim.compare import Difference, TapComparison, Values, place
from fxsim.contract import Tensor


class TapCheck:
    """Compares the values of one tap, image after image, in the order of `axes`, with those the model has.

    `expected`: gives the model's values, [image, *shape]; it is called when the first value comes. `report` is called
    with each difference, `fault` with the words for a value that there should not be.
    """

    def __init__(
        self,
        tap: str,
        tensor: Tensor,
        axes: tuple[str, ...],
        images: int,
        expected: Callable[[], Values],
        report: Callable[[Difference], None],
        fault: Callable[[str], NoReturn],
        examples: int,
    ) -> None:
        self.tap, self.tensor, self.axes, self.images = tap, tensor, axes, images
        self._expected, self._report, self._fault = expected, report, fault
        self._wanted = examples
        self._values: list[list[int]] | None = None
        self._differences: list[Difference] = []
        self._differ = 0
        self.done = 0
        """Values that have come."""

    @property
    def complete(self) -> bool:
        """Whether all values of all images have come."""
        return self.done == self.images * self.tensor.size

    def place_of(self, number: int) -> str:
        """Words for the place of the value that comes as number `number` at the tap."""
        image, position = divmod(number, self.tensor.size)
        return place(image, index_of(position, self.tensor, self.axes), f"tap {self.tap}")

    @property
    def images_begun(self) -> int:
        """Images of which a value has come."""
        return -(-self.done // self.tensor.size)

    def add(self, values: Iterable[int | str], cycle: int | None = None) -> None:
        """Compare the next values. Text stands for a value of which a bit is unknown: it differs from every number.

        Fails the test at a difference (or, where the scoreboard collects, at the last of those that it keeps), and at a
        value after the last of the last image.
        """
        if self._values is None:
            self._values = in_order(self._expected(), self.tensor, self.axes).tolist()
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | str):
                self._fault(f"tap {self.tap}: a {type(value).__name__} was given to compare, expected a whole number")
            if self.complete:
                when = "" if cycle is None else f" (cycle {cycle:,})"
                self._fault(f"tap {self.tap}: value {value} came after the last of {self.images:,} images{when}")
            image, position = divmod(self.done, self.tensor.size)
            self.done += 1
            wanted = self._values[image][position]
            if value != wanted:
                self._differs(image, position, wanted, value, cycle)

    def _differs(self, image: int, position: int, wanted: int, value: int | str, cycle: int | None) -> None:
        index = index_of(position, self.tensor, self.axes)
        difference = Difference(image=image, tap=self.tap, expected=wanted, got=value, cycle=cycle, index=index)
        self._differ += 1
        if len(self._differences) < self._wanted:
            self._differences.append(difference)
        self._report(difference)

    def result(self) -> TapComparison:
        """The tap's counts so far, held to all images."""
        return TapComparison(
            tap=self.tap,
            values=self.images * self.tensor.size,
            compared=self.done,
            differ=self._differ,
            first=self._differences[0] if self._differences else None,
            examples=tuple(self._differences),
        )

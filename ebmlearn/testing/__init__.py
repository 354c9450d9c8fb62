"""Does a method of your own keep what `fit <ebmlearn.train.fit>` relies on?

The package's own methods are held to the same promises, by the same code::

    from ebmlearn.testing import check_method

    def test_my_method_keeps_its_promises():
        check_method(lambda: MyMethod(MLPEnergy(2)), torch.randn(64, 2))
"""

from ebmlearn.testing._check import PROMISES, check_method

__all__ = ["PROMISES", "check_method"]

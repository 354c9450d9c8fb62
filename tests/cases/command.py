"""The command line, called inside of the test's process."""

from ebmlearn import __main__

NAME = "latent-prior-mnist"  # the quickest
TRAIN = ["train", NAME, "--smoke", "--criterion", "0", "--every", "2", "--steps", "4"]


def call(*argv):
    return __main__.main([str(a) for a in argv])

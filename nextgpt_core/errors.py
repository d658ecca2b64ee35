"""Every error the core raises on purpose. The message is a sentence a user can act on.

NextGPTError
├── ConfigError            a preset file is wrong or its parts contradict each other
├── CheckpointError        weights cannot be used
│   ├── CheckpointMissing      a file is not there
│   ├── CheckpointMismatch     keys, shapes or hashes are not what the preset says
│   └── HubUnreachable         what is to be fetched cannot be asked for now
├── MediaError             a file a user sent cannot be used
│   ├── UnsupportedMedia       not a picture, sound or video that can be read
│   └── MediaTooLarge          over a limit of size, length or count
├── MessageError           a message cannot be answered (too long, empty)
├── SettingsError          a setting of a turn is out of bounds, or contradicts another
├── GenerationError        a decoder failed
├── OutOfMemory            a part does not fit the memory there is
└── Cancelled              the user pressed stop
"""

# How libraries say it where they raise a plain RuntimeError or OSError, in lower case.
_FULL = ("out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed", "can't allocate memory", "cannot allocate memory")


class NextGPTError(Exception):
    """Base of all errors raised on purpose; `str(error)` is shown to users."""


class ConfigError(NextGPTError):
    """A preset file is wrong or its parts contradict each other."""


class CheckpointError(NextGPTError):
    """Weights cannot be used."""


class CheckpointMissing(CheckpointError):
    """A weight file is not there."""


class CheckpointMismatch(CheckpointError):
    """Keys, shapes or hashes are not what the preset says."""


class HubUnreachable(CheckpointError):
    """The hub, or the mirror that was named, does not answer."""


class MediaError(NextGPTError):
    """A file a user sent cannot be used."""


class UnsupportedMedia(MediaError):
    """Not a picture, sound or video that can be read."""


class MediaTooLarge(MediaError):
    """Over a limit of size, length or count."""


class MessageError(NextGPTError):
    """A message cannot be answered."""


class SettingsError(NextGPTError):
    """A setting of a turn is out of bounds, or contradicts another one."""


class GenerationError(NextGPTError):
    """A decoder failed to make its file."""


class OutOfMemory(NextGPTError):
    """A part does not fit the memory there is."""


class Cancelled(NextGPTError):
    """The user pressed stop."""


def is_out_of_memory(error: BaseException) -> bool:
    """Does an error mean that memory is full? CUDA, its libraries and the CPU's allocator each have a form of their own for it."""
    if isinstance(error, OutOfMemory | MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's; torch is not imported here
        return True
    return isinstance(error, RuntimeError | OSError) and any(words in str(error).lower() for words in _FULL)

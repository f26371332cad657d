"""valkey-py: everything that clients of Redis do, as redis-py does it."""

import redis_family
import valkey
import valkey.asyncio
from checks import finish
from valkey.backoff import NoBackoff
from valkey.retry import Retry

redis_family.run(valkey, valkey.Valkey, "valkey")
redis_family.refused(valkey, valkey.Valkey, Retry(NoBackoff(), 0))
finish()

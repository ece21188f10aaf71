"""The tables of the roof: what people outside are told."""

from abm.notify.models import Delivery as Delivery
from abm.notify.models import NotifyTarget as NotifyTarget
from abm.notify.models import Trouble as Trouble
from abm.notify.models import Watermark as Watermark

from .group import Group as Group
from .group import join as join
from .launching import JobFailed as JobFailed
from .launching import launch as launch

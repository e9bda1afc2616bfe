/* exchange(): commands of any kind in one write on a client's connection, for what is written in Python. */
#pragma once

#include "module.h"

int exchange_setup(PyObject *module);

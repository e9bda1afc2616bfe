/* exchange(): sends any commands in one write, and returns their replies. For the Python part of
   the package. */
#pragma once

#include "state.h"

int exchange_setup(PyObject *module);

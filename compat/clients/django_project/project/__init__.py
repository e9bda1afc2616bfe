"""A small Django project with django-rq in its admin site."""

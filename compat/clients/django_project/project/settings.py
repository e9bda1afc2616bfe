"""As `django-admin startproject` writes them, as far as the admin site needs them, with django-rq."""

import os
from pathlib import Path

SECRET_KEY = 'for a comparison on the loopback interface'
DEBUG = False
ALLOWED_HOSTS = ['127.0.0.1']
INSTALLED_APPS = [
    'django.contrib.admin',
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'django.contrib.sessions',
    'django.contrib.messages',
    'django.contrib.staticfiles',
    'django_rq',
]
MIDDLEWARE = [
    'django.middleware.security.SecurityMiddleware',
    'django.contrib.sessions.middleware.SessionMiddleware',
    'django.middleware.common.CommonMiddleware',
    'django.middleware.csrf.CsrfViewMiddleware',
    'django.contrib.auth.middleware.AuthenticationMiddleware',
    'django.contrib.messages.middleware.MessageMiddleware',
    'django.middleware.clickjacking.XFrameOptionsMiddleware',
]
ROOT_URLCONF = 'project.urls'
TEMPLATES = [
    {
        'BACKEND': 'django.template.backends.django.DjangoTemplates',
        'APP_DIRS': True,
        'OPTIONS': {
            'context_processors': [
                'django.template.context_processors.request',
                'django.contrib.auth.context_processors.auth',
                'django.contrib.messages.context_processors.messages',
            ],
        },
    },
]
# In the folder where the server was started: each side has its own.
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': Path.cwd() / 'db.sqlite3'}}
USE_TZ = True
STATIC_URL = 'static/'
# A message that is shown once is kept in the session, whose cookie is masked.
MESSAGE_STORAGE = 'django.contrib.messages.storage.session.SessionStorage'
RQ_QUEUES = {name: {'URL': os.environ['RQ_REDIS_URL']} for name in os.environ['PROJECT_QUEUES'].split(',')}

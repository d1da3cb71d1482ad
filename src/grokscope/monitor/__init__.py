"""Measuring somebody else's training: any module, any loop.

``monitor.py`` is what a person uses. ``subject.py`` makes snapshots of a module without touching it, ``data.py`` the
probes, ``quiet.py`` keeps the process as it was, ``recorder.py`` keeps and stores what is measured, ``stored.py``
brings a stored run back, ``settings.py`` says in a spec what is known of a training that is not ours.
"""

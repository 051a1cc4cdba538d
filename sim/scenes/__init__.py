"""What goes on in a world: each scene has topics, clients, and questions at the end.

Scenes share the broker and its misfortunes and nothing else. A run plays some of them.
"""

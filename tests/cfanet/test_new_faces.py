from cfanet.config import AnonymizeSettings, LoopSettings
from cfanet.face import Face
from cfanet.new_faces import NewFaces
from tests.cfanet.tiny import face_at, tiny_generator


def test_faces_are_softened_together_as_soon_as_one_of_them_must_be() -> None:
    settings = AnonymizeSettings(loop=LoopSettings(soften_after=2))
    made = NewFaces(tiny_generator(), settings)
    faces = [Face(n, 0, face_at(20, 20, 20), "", structured=structured) for n, structured in enumerate((0, 1))]
    assert not made.soften_together(faces) and [face.structured for face in faces] == [0, 1]
    faces[1].structured = 2
    assert made.soften_together(faces) and [face.structured for face in faces] == [2, 2]

import pytest
from django.db import connection

from workspace import audit
from workspace.models import AuditRow, Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(workspace: Workspace) -> Workspace:
    for number in range(5):
        audit.record(
            workspace_id=workspace.pk, actor="usr_1", action="thing.do", target=f"t{number}", detail={"n": number}
        )
    workspace.refresh_from_db()
    return workspace


def test_the_trail_verifies_and_is_numbered(trail: Workspace) -> None:
    assert audit.verify(trail) == 5
    assert [row.seq for row in AuditRow.objects.of(trail)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE workspace_auditrow SET action = 'other.do' WHERE seq = 3", 3),
        ("UPDATE workspace_auditrow SET actor = 'usr_2' WHERE seq = 1", 1),
        ("DELETE FROM workspace_auditrow WHERE seq = 2", 2),
        ("DELETE FROM workspace_auditrow WHERE seq = 5", 5),
    ],
)
def test_any_change_to_the_trail_is_found(trail: Workspace, statement: str, first_bad: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    with pytest.raises(audit.BrokenChain) as found:
        audit.verify(trail)
    assert found.value.seq == first_bad


def test_workspaces_have_trails_of_their_own(trail: Workspace) -> None:
    other = Workspace.objects.create(name="other")
    audit.record(workspace_id=other.pk, actor="usr_1", action="thing.do")
    other.refresh_from_db()
    assert audit.verify(other) == 1
    assert audit.verify(trail) == 5

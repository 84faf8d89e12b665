startActs();
if (byId("main").dataset.view === "task") startTask();
else startTasks();

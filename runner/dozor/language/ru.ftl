# Тексты Дозора. «Задача» женского рода: «остановлена», «перезапущена».

### Время

milliseconds = { $count } мс
seconds = { $count } с
minutes = { $count } мин
hours = { $count } ч
days = { $count ->
    [one] { $count } день
    [few] { $count } дня
   *[many] { $count } дней
}
ago = { $duration } назад
ahead = через { $duration }
just-now = только что
right-now = сейчас

### Оповещения: заголовок читают с экрана блокировки

alert-repeated = { $sign } { $task }: { $failures ->
    [1] ошибка в { $since }
    [one] { $failures } ошибка подряд с { $since }
    [few] { $failures } ошибки подряд с { $since }
   *[many] { $failures } ошибок подряд с { $since }
}
alert-stopped = 🛑 { $task } остановлена: { $failures ->
    [1] ошибка в { $since }
    [one] { $failures } ошибка подряд с { $since }
    [few] { $failures } ошибки подряд с { $since }
   *[many] { $failures } ошибок подряд с { $since }
}
alert-recovered = ✅ { $task } снова работает
alert-checker-info = ℹ️ { $task }: { $text }
alert-checker-warning = ⚠️ { $task }: { $text }
alert-checker-critical = 🔴 { $task }: { $text }
alert-reloaded = 🔧 Новые настройки применены
alert-reload-refused = ⚠️ Новые настройки не приняты
alert-reload-old = Действуют прежние.
alert-reload-kept-back = Применится только после перезапуска Дозора: { $sections }
alert-other = { $task }: оповещение, которое эта версия Дозора показать не может
alert-dropped = ⚠️ Дозор потерял часть записей
alert-test = ✅ Проверка связи: оповещения Дозора приходят сюда

### Оповещения: подробности

alert-window = Слишком много ошибок за время: { $window }
alert-attempt = Попытка { $failures }/{ $max }
alert-where = Где: { $where }
alert-next-restart = Перезапуск в { $at } ({ $distance })
alert-next-retry = Следующая попытка в { $at } ({ $distance })
alert-next-person = Сама не запустится: нужен человек.
alert-next-person-fatal = Повтор не поможет, сама не запустится: нужен человек.
alert-lasted = Не работала { $duration }, с { $since }.
alert-lasted-errors = Ошибок подряд: { $failures }.
alert-by-person = Перезапуск: { $by }
alert-by-itself = Восстановилась сама.
alert-last-error = Последняя ошибка:
alert-stopped-tasks = { $count ->
    [one] Остановлена { $count } задача, ждёт человека:
    [few] Остановлены { $count } задачи, ждут человека:
   *[many] Остановлено { $count } задач, ждут человека:
}
alert-dropped-why = База данных была недоступна дольше, чем хватило памяти для очереди.
alert-duplicate = Возможно, повтор: неизвестно, дошло ли это сообщение раньше.
alert-and-more = … и ещё { $count }
button-restart = 🔄 Перезапустить
button-pause = ⏸ Пауза
button-resume = ▶️ Снять с паузы
button-run = ▶️ Запустить сейчас
button-refresh = 🔄 Обновить
button-failing = ⚠️ Только сломанные
button-all = 📋 Все
button-all-tasks = ◀️ Все задачи
button-card = 📋 Подробно
button-undo = ↩️ Отменить
button-errors = ❌ Ошибки
button-history = 🕓 История
button-chart = 📈 График
button-traceback-of = 📄 Traceback { $number }
button-silence-all = 🔕 Все задачи
button-why = ❓ Почему пришло или нет
button-oncall = 📟 Дежурю я
button-cancel = Отмена
button-all-stopped = 🛑 Все остановленные ({ $count })
button-all-at-work = ⏸ Все ({ $count })
button-all-paused = ▶️ Все на паузе ({ $count })
button-restart-task = 🔄 { $task }
by-telegram = Telegram, id { $ident }
by-cli = командная строка, { $ident }
by-web = веб-страница, { $ident }

### Оповещения: запуск Дозора

start-first = 🟢 Дозор работает: { $count ->
    [one] { $count } задача
    [few] { $count } задачи
   *[many] { $count } задач
}
start-back = { $mark } Дозор снова работает: не работал { $duration }
start-unclean = ⚠️ Дозор запущен после аварийного завершения: не работал { $duration }
start-unclean-plain = ⚠️ Дозор запущен после аварийного завершения
start-plain = ⚠️ Дозор запущен
start-again = ⚠️ Дозор аварийно завершается: уже { $count ->
    [one] { $count } раз
    [few] { $count } раза
   *[many] { $count } раз
} с { $since }
start-flapping = ⚠️ Дозор аварийно завершается снова и снова, уже { $count }-й раз
start-crowd = ⚠️ Дозор слишком часто перезапускают: { $count ->
    [one] { $count } раз
    [few] { $count } раза
   *[many] { $count } раз
} за 10 минут
start-crowd-why = О следующих запусках сообщений не будет, пока перезапуски не станут редкими.
start-steady = ✅ Дозор работает стабильно после аварийного завершения
start-stopped-at = Был остановлен командой или сигналом в { $at }.
start-cut-off = Прошлый запуск оборвался: сбой, kill -9 или питание.
start-cut-off-at = Последний признак жизни в { $at }, потом сбой, kill -9 или питание.
start-kept = Состояния задач и счётчики ошибок сохранены.
start-last-gap = В последний раз не работал { $duration }.
start-suspects = Возможные причины аварии Дозора: { $tasks }. Эти задачи запускаются по одной, первая через { $duration }; задача, при которой авария повторится, будет остановлена.
start-lost = Прерваны запуски: { $tasks }
start-missed = Пропущено запусков по расписанию: { $runs } (задач: { $tasks })
start-missed-more = Пропущено запусков по расписанию: не меньше { $runs } (задач: { $tasks })
start-paused = На паузе: { $tasks }
start-open = Инцидентов, открытых до этого запуска: { $count }
start-owed = Не доставлено сообщений до этого запуска: { $count }, отправляются

### Оповещения: не только ошибки подряд

alert-flapping = { $sign } { $task }: ошибки возвращаются, уже { $count }-й раз
alert-flapping-why = Пока какое-то время не пройдёт без сбоев, обновляется только это сообщение.
alert-hung = { $task }: запуск завис и не отменяется
alert-overdue = { $task }: успеха нет уже { $duration }
alert-overdue-plain = { $task }: успеха нет дольше положенного
alarm-blocked-loop = 🔴 Цикл событий заблокирован уже { $duration }: { $subject }
alarm-blocked-loop-unknown = 🔴 Цикл событий заблокирован уже { $duration }
alert-blocked-loop-unknown = Цикл событий был заблокирован { $duration }
alert-blocked-loop-unknown-plain = Цикл событий блокируется
alert-blocked-loop = Цикл событий был заблокирован { $duration }: { $subject }
alert-blocked-loop-plain = Цикл событий блокируется: { $subject }
alert-dependency = { $subject }: недоступно
alert-limit = Дозор превысил предел: { $subject }
limit-memory = память
limit-asyncio-tasks = число задач asyncio
limit-open-files = открытые файлы
limit-descriptors = файловые дескрипторы
limit-loop-lag = задержка цикла событий
limit-database-connections = соединения сервера базы данных
alert-pool-exhausted = { $subject }: { $duration } нет свободных соединений, занято { $size } из { $size }
alert-pool-exhausted-plain = { $subject }: нет свободных соединений
alert-no-worker = Пул { $subject }: { $duration } ни один воркер не берёт запуски, ждут: { $count }
alert-no-worker-task = { $task }: ни один воркер не берёт запуски, хотя запуски других задач пула выполняются: у воркеров нет этой задачи или она другой версии
alert-no-worker-plain = Пул { $subject }: ни один воркер не берёт запуски
alert-holder = Держит { $task }, запуск { $run }, с { $since }
alert-holder-over = Держит { $task }, запуск { $run }, с { $since }: запуск закончился, а соединение не вернул
alert-over-pool = ✅ { $subject }: соединения снова свободны
alert-backlog = { $task } не успевает: в очереди { $size }, дольше всех ждут { $duration }
alert-backlog-plain = { $task } не успевает: очередь растёт
alert-unclean-incident = Дозор аварийно завершается
alert-bot-deaf = Бот не получает команды: Telegram не отдаёт сообщения
alert-bot-defect = Бот не справился с командой: внутренняя ошибка
alert-replica = Потеряна реплика кластера { $subject }
alert-replica-config = У реплики кластера { $subject } не те настройки, что у лидера
alert-replica-clock = Часы реплики { $subject } расходятся с часами базы
alert-late-renewal = Лидер кластера продлевает аренду с опозданием
alert-over-bot = ✅ Бот снова отвечает
alert-telegram = Telegram не принимает сообщения: { $subject }
alert-over-blocked = ✅ Цикл событий больше не блокируется
alert-over-storm = ✅ Массовый сбой закончился: открытых инцидентов в нём не осталось
alert-waiting = Ждут: { $tasks }
alert-storm = { $sign } Сбои сразу во многих задачах: { $count }
alert-past = ✅ { $task }: было сломано, уже работает
alert-past-why = Сообщить вовремя не удалось.
alert-escalation = { $sign } { $mention }: нужна реакция. { $what }
alert-ack-expired = Срок принятия вышел ({ $by }): снова ждёт человека.
alert-silence-over = 🔔 Тишина закончилась, ещё не работает: { $count }
alert-silence-reason = Причина тишины: { $text }
alert-silence-lifted = Тишина снята: { $by }
alert-morning = 🌅 За ночь инцидентов: { $count }
alert-all-clear = ✅ Всё в порядке: { $tasks ->
    [one] { $tasks } задача
    [few] { $tasks } задачи
   *[many] { $tasks } задач
}
alert-not-clear = ⚠️ Ежедневная сводка: открытых инцидентов { $count }
alert-summary = ✉️ Telegram снова доступен. За это время отправлено через запасной канал: { $count }
alert-second-channel = [Дозор, запасной канал: в Telegram не доставлено уже { $duration }]
file-note = 📎 Целиком: в файле под этим сообщением
file-cut = [Дальше обрезано: Дозор хранит первые { $count } знаков.]
number = №{ $id }
alert-own = { $task }: { $text }
alert-restarted-waiting = Перезапуск: { $by }. Успешного запуска после него ещё не было.
alert-flapping-other = { $sign } { $what }: повторяется снова и снова, уже { $count }-й раз
alert-escalation-next = Уровень { $level }. Если никто не примет, в { $at } вызов: { $who }.
alert-escalation-next-plain = Уровень { $level }. Если никто не примет, следующий вызов в { $at }.
still-stopped = { $task } всё ещё остановлена: не работает уже { $duration }, с { $since }
still-restarted = { $task } перезапущена, успеха ещё нет: не работает уже { $duration }, с { $since }
still-failing = { $task }: ошибки продолжаются уже { $duration }, с { $since }
still-held = { $task } ждёт то, что ей нужно: не работает уже { $duration }, с { $since }
still-hung = { $task }: запуск всё ещё висит, уже { $duration }, с { $since }
still-overdue = { $task }: успеха всё ещё нет, уже { $duration }, с { $since }
still-blocked-loop = Цикл событий продолжает блокироваться: { $subject }, уже { $duration }, с { $since }
still-blocked-loop-unknown = Цикл событий продолжает блокироваться, уже { $duration }, с { $since }
still-dependency = { $subject }: всё ещё недоступно, уже { $duration }, с { $since }
still-limit = Дозор всё ещё превышает предел: { $subject }, уже { $duration }, с { $since }
still-pool-exhausted = { $subject }: свободных соединений всё ещё нет, уже { $duration }, с { $since }
still-no-worker-task = { $task }: запуски всё ещё никто не берёт, уже { $duration }, с { $since }
still-no-worker = Пул { $subject }: запуски всё ещё никто не берёт, уже { $duration }, с { $since }
still-backlog = { $task } всё ещё не успевает: в очереди { $count }, дольше всех ждут { $oldest }; инцидент открыт уже { $duration }
still-backlog-plain = { $task } всё ещё не успевает, уже { $duration }, с { $since }
still-unclean-end = Дозор продолжает аварийно завершаться, уже { $duration }, с { $since }
still-bot-deaf = Бот всё ещё не получает команд, уже { $duration }, с { $since }
still-bot-defect = Бот не справляется с командами, уже { $duration }, с { $since }
still-replica = Реплика кластера { $subject } всё ещё потеряна, уже { $duration }, с { $since }
still-replica-config = У реплики кластера { $subject } всё ещё не те настройки, что у лидера, уже { $duration }, с { $since }
still-replica-clock = Часы реплики { $subject } всё ещё расходятся с часами базы, уже { $duration }, с { $since }
still-late-renewal = Лидер кластера всё ещё продлевает аренду с опозданием, уже { $duration }, с { $since }
still-telegram = Telegram всё ещё не принимает сообщения: { $subject }, уже { $duration }, с { $since }
still-checker = { $task }: { $text } (открыто уже { $duration }, с { $since })
still-storm = Массовый сбой длится { $duration }: не работают { $open } из { $count }
still-storm-plain = Массовый сбой длится { $duration }, с { $since }
still-other = { $task }: инцидент всё ещё открыт, уже { $duration }, с { $since }
over-lasted = Длилось { $duration }, с { $since }.
over-unconfigured = ℹ️ { $task }: удалена из настроек или выключена; инцидент закрыт
over-lapsed = ℹ️ { $task }: оповещение не повторялось час; инцидент закрыт
over-closed = ℹ️ { $task }: инцидент закрыт
over-hung-stopped = 🛑 { $task }: зависший запуск закончился, задача остановлена
over-hung = ✅ { $task }: зависший запуск закончился
over-overdue = ✅ { $task }: снова есть успешный запуск
over-backlog = ✅ { $task } снова успевает
over-no-worker-task = ✅ { $task }: воркер снова берёт запуски
over-no-worker = ✅ Пул { $subject }: воркеры снова берут запуски
over-dependency = ✅ { $subject }: снова доступно
over-limit = ✅ Дозор снова не превышает предела: { $subject }
over-replica = ✅ Реплика кластера { $subject } вернулась или больше не числится
over-replica-config = ✅ У реплики кластера { $subject } настройки лидера, или реплика завершилась
over-replica-clock = ✅ Часы реплики { $subject } сходятся с часами базы, или реплика завершилась
over-late-renewal = ✅ Аренда кластера снова продлевается вовремя
over-telegram = ✅ Telegram снова принимает сообщения: { $subject }
alert-retold = Отправлено сюда заново: чат, тема или бот сменились, прежние сообщения не здесь.
living-taken = 👤 Принято: { $by }, до { $until }
living-silenced = 🔕 Тишина до { $until }
living-silenced-open = 🔕 Тишина, пока не решится
living-occurrences = Случалось раз: { $count }
living-calm = С { $since } сбоев нет; закроется, если так и останется.
button-ack = ✋ Принять
button-unack = ↩️ Отменить принятие
button-silence-hour = 🔕 1 ч
button-silence-hours = 🔕 4 ч
button-silence-until = 🔕 до решения
button-unsilence = 🔔 Снять тишину
button-traceback = 📄 Traceback
button-storm = 📋 Все инциденты

### Состояния

state-waiting = ждёт запуска
state-running = выполняется
state-backoff = ждёт перезапуска
state-stopped = остановлена
state-paused = на паузе
state-held = придержана (недоступно то, что ей нужно)

### /status

status-no-tasks = Задач нет: секция tasks в config.yaml пуста.
status-all-well = ✅ { $count ->
    [one] { $count } задача, всё в порядке
    [few] { $count } задачи, всё в порядке
   *[many] { $count } задач, всё в порядке
}
status-count-stopped = 🛑 { $count ->
    [one] { $count } остановлена
    [few] { $count } остановлены
   *[many] { $count } остановлено
}
status-count-failing = ⚠️ { $count } с ошибками
status-count-held = ⏳ { $count ->
    [one] { $count } придержана
    [few] { $count } придержаны
   *[many] { $count } придержано
}
status-count-paused = ⏸ { $count } на паузе
status-count-well = ✅ { $count } в порядке
status-no-runner = ❗ Раннер ещё не запускался на этой базе.
status-runner-gone = ❗ Раннер не работает: последний признак жизни { $ago }. Данные ниже того же времени.
status-chat-waits = ⏳ Telegram велит ждать до { $until } ({ $chat })
status-chat-unreached = ⏳ Сообщения не доходят ({ $chat }) с { $since }: { $error }
status-alerts-pending = ✉️ Не доставлено { $count ->
    [one] { $count } оповещение
    [few] { $count } оповещения
   *[many] { $count } оповещений
}, самое старое ждёт { $duration }
status-none-failing = Ни одна задача не сломана.
status-silences = 🔕 Тишина: { $silences }
status-at = Состояние на { $at }
cluster-leader = Лидер { $name } (эпоха { $epoch }) с { $since }
cluster-leader-unnamed = Лидер эпохи { $epoch } с { $since }
cluster-no-leader = Лидера нет
cluster-standby = резерв { $names }
cluster-workers = воркеры { $names }
cluster-lost = потеряны { $names }
cluster-config-invalid = неверный файл настроек: { $names }
cluster-unrenewed = аренда не продлена { $time }
status-line-stopped = остановлена { $ago }
status-line-running = выполняется { $duration }
status-line-restart = перезапуск { $ahead }
status-line-success = успех { $ago }
status-line-never = успеха ещё не было
status-line-next = снова через { $ahead }
status-line-backlog = в очереди { $size }, самое старое ждёт { $duration }
status-line-backlog-size = в очереди { $size }

### /status имя

card-schedule-every = Запуск: раз в { $interval }
card-schedule-cron = Запуск: cron { $expression }
card-schedule-continuous = Запуск: непрерывно
card-failing = Ошибок подряд: { $streak }, первая в { $since } ({ $ago })
card-last-error = Последняя ошибка: { $at } ({ $ago })
card-last-success = Последний успех: { $at } ({ $ago })
card-no-success = Последний успех: ещё не было
card-running = Выполняется: { $duration }
card-next = Следующий запуск: { $at } ({ $ahead })
card-restart = Перезапуск: { $at } ({ $ahead })
card-person = Сама не запустится: нужен человек.
card-progress = Готово: { $done } из { $total }
card-backlog = В очереди: { $size }, самое старое ждёт { $duration }
card-backlog-size = В очереди: { $size }
card-backlog-empty = В очереди пусто
card-runs = Всего запусков: { $runs }, с ошибкой: { $failures }
card-by = Последнее действие: { $by }
card-recent = Последние запуски:

### /history, /errors, /incidents, /audit

history-title = { $task }: история
history-empty = Пока ничего не было.
history-runs = { $count ->
    [one] { $count } запуск
    [few] { $count } запуска
   *[many] { $count } запусков
}, в среднем { $mean }, самый долгий { $longest }
history-cut = прерван через { $duration }
history-incident = инцидент №{ $number }: { $kind }, длился { $duration }
history-incident-open = инцидент №{ $number }: { $kind }, ещё открыт
history-action = { $name }: { $action }
errors-title = { $task }: последние ошибки
errors-none = Ошибок не записано.
errors-once = Один раз: { $at } ({ $ago })
errors-times = { $count ->
    [one] { $count } раз
    [few] { $count } раза
   *[many] { $count } раз
} с { $first }, последний: { $at } ({ $ago })
traceback-of = { $task }: { $error }, { $at }
traceback-gone = Этого traceback нет: ошибка его не оставила, или он удалён. История хранится { $days ->
    [one] { $days } день
    [few] { $days } дня
   *[many] { $days } дней
}.
incidents-title = Открыто инцидентов: { $count }
incidents-none-open = ✅ Открытых инцидентов нет
incident-of-runner = Дозор
incident-lasts = с { $at }, уже { $duration }
incident-was = { $at }, длился { $duration }
incident-taken = Принято: { $name }
audit-title = Кто что делал
audit-place = чат { $place }
result-done = выполнено
result-already = и так уже
result-denied = отказано
result-ignored = пропущено, слишком часто
result-answered = отвечено
result-unknown-task = нет такой задачи
result-disabled = отключена
result-expired = устарело
result-no-runner = раннер не работал
result-unknown-incident = нет такого открытого инцидента
result-unknown-person = нет такого человека
result-invalid = так нельзя
result-timeout = ответа нет вовремя
result-unconfirmed = ответа нет: раннер завершился
audit-attempts = { $count ->
    [one] { $count } попытка
    [few] { $count } попытки
   *[many] { $count } попыток
}
kind-repeated-errors = ошибки подряд
kind-critical-stop = остановлена
kind-hung = запуск завис
kind-overdue = нет успеха
kind-blocked-loop = блокируется цикл событий
kind-dependency = недоступна зависимость
kind-limit = превышен предел
kind-pool-exhausted = нет соединений для задач
kind-no-worker = нет воркера для пула
kind-backlog = растёт очередь
kind-unclean-end = аварийное завершение
kind-bot = бот не отвечает
kind-replica = потеряна реплика
kind-replica-config = у реплики другие настройки
kind-replica-clock = часы реплики расходятся с базой
kind-late-renewal = аренда продлевается с опозданием
kind-telegram = Telegram не принимает сообщения
kind-checker = оповещение задачи
kind-storm = массовый сбой
did-restart = перезапуск
did-pause = пауза
did-resume = снятие с паузы
did-run = запуск
did-ack = инцидент принят
did-unack = принятие отменено
did-silence = тишина
did-unsilence = тишина снята

### /chart

period-day = 24 часа
period-week = 7 дней
period-month = 30 дней
unit-ms = мс
unit-s = с
unit-min = мин
chart-title = { $task }, { $period }
chart-runs = Запуски: успехи вверх, ошибки вниз
chart-durations = Длительность
chart-streaks = Ошибок подряд
chart-limit = остановка при { $limit }
chart-incident = инцидент
chart-nothing = Запусков не было
chart-needs-extra = Графики здесь не установлены. Их добавит команда: { $command }
chart-share = Успешно: { $good } из { $total } ({ $percent })
chart-quantiles = Длительность: p50 { $p50 }, p95 { $p95 }
chart-longest-streak = Ошибок подряд, самое большее: { $streak }
chart-incidents = Инцидентов: { $count }, вместе { $duration }
chart-still-open = (не закрыт)
chart-now = Сейчас: { $state }
chart-last-success = Последний успех { $ago }

### Команды

command-status = состояние задач
command-restart = перезапустить задачу
command-pause = поставить задачу на паузу
command-resume = снять задачу с паузы
command-run = запустить задачу сейчас
command-errors = последние ошибки задачи
command-history = запуски, инциденты и действия людей
command-chart = график успехов, ошибок и длительности
command-incidents = открытые и недавние инциденты
command-ack = принять инцидент, напоминания прекратятся
command-why = почему сообщения об инциденте отправлены или нет
command-silence = не присылать оповещения какое-то время
command-unsilence = снова присылать оповещения
command-oncall = кто дежурит сейчас и потом
command-audit = кто что делал и пытался сделать
command-code = одноразовый код, если команда его попросила
command-whoami = ваш id и роль
command-help = что умеет бот
help-title = Дозор следит за фоновыми задачами.
help-names = Имя можно писать не целиком. Без имени бот предложит выбрать.
help-role = Ваша роль: { $role }.
help-line = /{ $command }: { $description }
argument-name = имя
argument-name-period = имя 24h|7d|30d
whoami-id = Ваш id:
whoami-role = Ваша роль: { $role }.
whoami-chat = Чат, для config.yaml:
whoami-stranger = Доступа нет. Передайте этот id администратору Дозора.
argument-code = 123456
argument-incident = номер
argument-scope = имя|all
argument-silence = имя|all 30m причина
argument-person = имя 4h
role-viewer = наблюдатель
role-operator = оператор
role-admin = администратор
choose-restart = Какую задачу перезапустить?
choose-pause = Какую задачу поставить на паузу?
choose-resume = Какую задачу снять с паузы?
choose-run = Какую задачу запустить сейчас?
choose-history = Историю какой задачи показать?
choose-errors = Ошибки какой задачи показать?
choose-chart = График какой задачи показать?
choose-ack = Какой инцидент принять?
choose-why = Сообщения о каком инциденте?
choose-silence = Для чего включить тишину?
choose-unsilence = Какую тишину снять?
choose-nothing-resume = На паузе ничего нет.
choose-nothing-stopped = Остановленных задач нет.
choose-nothing = Подходящих задач нет.
choose-more = Показаны первые { $count }. Остальные по имени: /{ $command } имя
name-ambiguous = «{ $query }» подходит к нескольким задачам. Какая?
name-unknown = Задачи «{ $query }» нет.
name-unknown-like = Задачи «{ $query }» нет. Может быть, эта?
working-restart = ⏳ { $task }: перезапускаю…
working-pause = ⏳ { $task }: ставлю на паузу…
working-resume = ⏳ { $task }: снимаю с паузы…
working-run = ⏳ { $task }: запускаю…
done-restart = 🔄 { $task } перезапущена, сейчас { $state }
ran-restart = 🔄 { $task } перезапущена
ran-run = ▶️ { $task } запущена
done-pause = ⏸ { $task } на паузе
done-resume = ▶️ { $task } снята с паузы, сейчас { $state }
done-run = ▶️ { $task } запущена, сейчас { $state }
already-restart = { $task }: перезапуск уже идёт
already-pause = { $task } уже на паузе
already-resume = { $task } не на паузе, сейчас { $state }
already-run = { $task } уже выполняется
refused-unknown = { $task }: у раннера такой задачи нет
refused-disabled = { $task } отключена в настройках (enabled: false)
refused-expired = { $task }: не выполнено, команда устарела раньше, чем до неё дошла очередь. Отправьте снова
refused-no-runner = { $task }: не выполнено, раннер не работает. Запустите: dozor run
refused-timeout = { $task }: раннер пока не ответил, команда ещё может выполниться. Проверьте: /status { $task }
refused-unconfirmed = { $task }: не подтверждено, раннер в этот момент прервался. Команда могла выполниться и повторяться не будет. Проверьте: /status { $task }, и отправьте снова, если нужно
earlier-self = { $task }: эту команду вы уже дали { $ago }. Второй раз не выполняю.
earlier-other = { $task }: эта команда уже принята { $ago } ({ $name }). Второй раз не выполняю.
run-going = ⏳ Запуск { $number } идёт { $duration }
run-succeeded = ✅ Запуск { $number }: успех за { $duration }
run-failed = ❌ Запуск { $number }: ошибка через { $duration }
run-cut = ⏹ Запуск { $number } прерван через { $duration }
sure-interrupt = { $task } сейчас выполняется, уже { $duration }. Перезапуск прервёт этот запуск.
sure-paused = { $task } на паузе (команда: { $who }). Снять с паузы?
sure-paused-run = { $task } на паузе (команда: { $who }). Всё равно запустить?
sure-restart = Перезапустить { $count ->
    [one] { $count } задачу
    [few] { $count } задачи
   *[many] { $count } задач
}?
sure-pause = Поставить на паузу { $count ->
    [one] { $count } задачу
    [few] { $count } задачи
   *[many] { $count } задач
}?
sure-resume = Снять с паузы { $count ->
    [one] { $count } задачу
    [few] { $count } задачи
   *[many] { $count } задач
}?
sure-run = Запустить сейчас { $count ->
    [one] { $count } задачу
    [few] { $count } задачи
   *[many] { $count } задач
}?
yes-restart = 🔄 Да, перезапустить
yes-pause = ⏸ Да, на паузу
yes-resume = ▶️ Да, снять с паузы
yes-run = ▶️ Да, запустить
confirm-cancelled = Отменено, ничего не сделано.
confirm-expired = За минуту не подтверждено, ничего не сделано.
confirm-gone = Время вышло или ответ уже дан.
confirm-not-yours = Подтвердить может только { $name }.
too-many = Слишком много команд подряд. Подождите несколько секунд.
too-old-command = Команда пришла с опозданием ({ $duration }) и не выполнена: за это время всё могло измениться. Если она ещё нужна, нажмите кнопку, выполню сейчас:
too-old-press = Нажатие дошло с опозданием и не выполнено: за это время всё могло измениться. Если ещё нужно, вот команда:
forbidden = Нужна роль «{ $needed }», у вас «{ $role }».
ack-done = ✋ Инцидент №{ $id } принят, напоминаний пока не будет
ack-done-until = ✋ Инцидент №{ $id } принят до { $until }, до этого напоминаний не будет
ack-already = Инцидент №{ $id } уже принят.
ack-already-by = Инцидент №{ $id } уже принят: { $name }.
ack-number = Номер инцидента есть в его сообщении и в /incidents. Например: /ack 12
ack-nothing = Принимать нечего: ни один открытый инцидент не ждёт человека.
unack-done = Принятие инцидента №{ $id } отменено: он снова ждёт человека.
unack-already = Инцидент №{ $id } никем не принят.
silence-done = 🔕 { $what }: тишина на { $duration }, до { $until }
silence-done-open = 🔕 { $what }: тишина, пока не решится
silence-for = 🔕 { $what }: на сколько?
silence-how-long = Не понимаю срок. Напишите, например: 30 минут, 2 часа, 1h30m, до 18:00 или до завтра 9:00
silence-line = { $what } до { $until }
silence-line-open = { $what }, пока не решится
unsilence-done = 🔔 { $what }: тишина снята
unsilence-already = { $what }: тишины и так нет
silence-also = 🔕 Ещё действует тишина: { $what } до { $until }
silence-also-open = 🔕 Ещё действует тишина: { $what }, пока не решится
unsilence-nothing = Тишины сейчас нет: все оповещения приходят как обычно.
scope-all = все задачи
scope-kind = всё вида «{ $kind }»
scope-incident = инцидент №{ $id }
oncall-now = 📟 Дежурит { $person }
oncall-until = До { $until } ({ $ahead })
oncall-instead = Вместо: { $person }
oncall-next = Потом { $person }, с { $at }
oncall-none = Дежурства не настроены: секция oncall в config.yaml.
oncall-done = 📟 Теперь дежурит { $person }
oncall-done-until = 📟 До { $until } дежурит { $person }
oncall-already = { $person } уже дежурит
oncall-unknown = Такого человека в oncall.people нет. Есть: { $people }
oncall-role = Менять дежурного может оператор или администратор.
refused-incident = Открытого инцидента №{ $id } нет.
refused-person = { $task }: такого человека в oncall.people нет
refused-invalid = Не выполнено: в команде что-то не так. Как писать: /help
refused-no-rotation = Дежурства не настроены: секция oncall.rotation в config.yaml.
refused-alert-timeout = Раннер пока не ответил, команда ещё может выполниться.
code-needed = 🔐 Нужен код из приложения-аутентификатора. Отправьте в течение минуты: /code 123456
code-nothing = Ни одна команда не ждёт кода. Сначала отправьте команду, потом код.
code-wrong = Код не подошёл или уже использован. Возьмите новый и отправьте: /code 123456
code-no-secret = У вас нет кода: администратор должен добавить ваш секрет в telegram.totp.secrets.
code-too-many = Слишком много неверных кодов. Подождите минуту.
press-unknown = Эта кнопка больше не действует.
press-taken = Получено
command-unknown = Такой команды нет. Все команды: /help
handler-failed = Не получилось: внутренняя ошибка. Подробности в журнале раннера.
database-away-waiting = База данных не отвечает. Выполню и отвечу, когда она вернётся.
database-away = База данных не отвечает. Попробуйте ещё раз позже.
topic-note = Тема для оповещений закрыта или удалена, пишу сюда.

### Командная строка: пополнения

market-attributed = { $amount } единиц { $currency } из пополнения { $deposit } зачислены пользователю { $user }
rescan-read = Кошелёк { $wallet }: прочитано транзакций: { $read }
rescan-single = { $provider } — единственный провайдер TON: его ответы проводятся в пределах лимитов для одного провайдера
rescan-held = { $money }: выше лимита для одного провайдера, не проводится; --apply оставит для `dozor market approve`
rescan-newer = Новее того, что прочитал чекер; он проведёт их сам: { $newer }
rescan-credited = { $money } → пользователю { $user } ({ $name })
rescan-unmatched = { $money } → на счёт unattributed: владелец неизвестен
rescan-internal = { $money } с другого нашего кошелька: записывается без зачисления
rescan-dust = { $money }: меньше порога, записывается без зачисления
rescan-refused = не зачесть, откладывается для человека: { $reason }
rescan-left-out = { $money }: исключена, не зачисляется
rescan-place = lt { $lt }  хеш { $hash }
rescan-sender = от { $sender }
rescan-operating = { $money } → на счёт operating: TON из уведомлений и остатков, транзакций: { $count }
rescan-nothing = Ничего не пропущено
rescan-total-found = Пропущено: { $deposits ->
    [one] { $deposits } пополнение
    [few] { $deposits } пополнения
   *[many] { $deposits } пополнений
}. Ничего не изменено; чтобы зачесть, повторите с --apply
rescan-total-applied = Зачтено: { $deposits ->
    [one] { $deposits } пополнение
    [few] { $deposits } пополнения
   *[many] { $deposits } пополнений
}
rescan-no-task = Ни одна задача в настройках не вызывает { $run }: неизвестно, у кого спрашивать. Назовите задачу: --task ИМЯ
rescan-task-unknown = В настройках нет задачи { $task }
rescan-wallet-unknown = Кошелька { $wallet } нет ни в market.ton_wallets, ни в args задачи { $task }
rescan-wallet-bad = { $wallet } — не адрес TON
### Почему сообщение отправлено или нет

why-title = Инцидент №{ $id } · { $task } · { $kind }
why-no-incident = Инцидента { $id } нет. Последние: dozor incidents, /incidents
why-no-incidents = Инцидентов нет.
why-number = Номер инцидента есть в его сообщении и в /incidents. Например: /why 12
why-nothing = Записей нет: о сообщениях ещё ничего не решалось.
why-left-out = { $count ->
    [one] Не показано { $count } более раннее сообщение.
    [few] Не показаны { $count } более ранних сообщения.
   *[many] Не показано { $count } более ранних сообщений.
}
why-skipped = { $count ->
    [one] … { $count } решение до этого не сохранено
    [few] … { $count } решения до этого не сохранены
   *[many] … { $count } решений до этого не сохранено
}
why-line = { $kind }: { $what }
why-for = { $what }: { $why }
why-times = ×{ $count }
why-last = (последний раз { $at })
why-main-chat = основной чат
why-chat = чат { $chat }
why-queued = в очереди на отправку ({ $where })
why-quiet-hours = в очереди на отправку без звука из-за тихих часов ({ $where })
why-muted = заглушено тишиной { $silence }
why-inhibited = не отправлено, это объясняет инцидент №{ $incident }
why-down = { $what }: недоступно
why-grouped = без своего сообщения, в сводке массового сбоя №{ $storm }
why-counted = только подсчитано, без сообщения
why-acknowledged = не отправлено, инцидент принят
why-paused = не отправлено, задача на паузе
why-sent = отправлено ({ $where })
why-edited = изменено прежнее сообщение, новое не отправлено ({ $where })
why-superseded = не отправлено ({ $where })
why-expired = не отправлено, устарело ({ $where })
why-put-off = не доставлено, будет повторено ({ $where })
why-unknown-outcome = ответа нет, могло дойти; будет повторено с пометкой о возможном повторе ({ $where })
why-refused = отказ, показано в консоли; будет повторено ({ $where })
why-given-up = больше не отправляется, показано в консоли: это сообщение не принимают, другие принимают ({ $where })
why-fallback = отправлено через запасной канал вместо обычного ({ $where })
why-waiting = ждёт отправки ({ $where })
why-other = решение более новой версии Дозора
why-by = { $name }
why-until = до { $at }
why-until-over = до решения инцидента
why-kind-recovered = восстановление
why-kind-flapping = повторяется
why-kind-trouble = неполадка
why-kind-reminder = напоминание
why-kind-escalation = эскалация
why-because-threshold = ошибок подряд меньше, чем нужно для оповещения
why-because-open = инцидент уже открыт
why-because-flapping = повторяется слишком часто
why-because-calming = повторяется; закончится, когда будет спокойно какое-то время
why-because-unheard = о поломке никому не сообщали
why-because-stopped = как закончился запуск, говорит сообщение об остановке, пришедшее в ту же секунду
why-because-same-end = о восстановлении задачи говорит сообщение другого инцидента
why-because-unconfigured = задачи больше нет в настройках
why-because-lapsed = задача не повторяла этого час
why-because-over = закончилось до отправки
why-because-broken-again = снова сломалось до отправки
why-because-taken = до отправки инцидент приняли или он закончился
why-because-said = об этом говорит другое сообщение в том же чате
why-because-direct = прямо из памяти, пока база данных была недоступна
why-because-wait = Telegram велел ждать { $seconds } с
why-because-moved = группа стала чатом { $chat }

### Commands and presses that arrive late or second-hand, answers in another form

too-old-press-help = Нажатие дошло с опозданием и не выполнено. Отправьте нужную команду, они перечислены в /help
button-again = ▶️ Выполнить сейчас
again-running = ▶️ Выполняю: /{ $command }
again-forgotten = После перезапуска Дозора эта кнопка не действует. Отправьте команду из сообщения ещё раз.
confirm-forgotten = Вопрос задан давно или до перезапуска Дозора, ничего не сделано. Если ещё нужно, вот команда:
confirm-forgotten-help = Вопрос задан давно или до перезапуска Дозора, ничего не сделано. Отправьте команду снова, все они в /help
press-of-old-version = Эта кнопка от прежней версии Дозора и больше не действует. Та же команда:
press-of-old-version-help = Эта кнопка от прежней версии Дозора и больше не действует. Все команды: /help
second-hand-forwarded = { $command } не выполнена: сообщение переслано, его автор не вы. Напишите команду сами.
second-hand-via-bot = { $command } не выполнена: сообщение написано через другого бота. Напишите команду сами.
second-hand-channel = { $command } не выполнена: у сообщения от имени канала нет автора, проверить его права нельзя. Напишите команду от своего имени, здесь в группе или боту в личку.
second-hand-anonymous = { $command } не выполнена: вы пишете как анонимный администратор, и ваши права проверить нельзя. Выключите «Анонимность» в своих правах администратора группы или напишите боту в личку.
second-hand-edited = Команда не выполнена: её исправили после отправки. Если она нужна, нажмите кнопку, выполню сейчас:
second-hand-addressed = Команда не выполнена: она для @{ $bot }, а это @{ $own }. Если она для этого бота, нажмите кнопку, выполню сейчас:
answer-in-private = Ответ на команду в чате «{ $chat }»: туда я сейчас писать не могу.
answer-in-private-group = Ответ на команду в группе: туда я сейчас писать не могу.
answer-topic-closed = Тема закрыта или удалена, отвечаю сюда.
chart-not-drawn = Картинку нарисовать не удалось, поэтому только цифры. Причина в журнале раннера.
chart-no-photos = Картинку этот чат не принимает, поэтому только цифры.
traceback-no-files = Файлы этот чат не принимает, поэтому только конец.
period-unit = { $number } чего? Выберите или напишите с единицей: 30 минут, 2 часа, 1 день.
period-or-moment = { $time }: это срок или время? Выберите или напишите: { $length }, до { $time }.
period-until = до { $time }
period-not-positive = Срок должен быть больше нуля и в будущем. Например: 30 минут, 2 часа, до 18:00
period-too-long = Слишком долго: не больше 30 дней.
button-ack-of = ✋ Принять №{ $id } · { $subject }
help-look = 👀 Посмотреть
help-act = ⚙️ Сделать
help-alerts = 🔔 Оповещения
help-example = Например:
about-storm = Не работают { $open } из { $count }
about-storm-over = Не работали: { $count }
about-storm-empty = Сбой сразу в нескольких задачах
about-telegram = Не принимает сообщения: { $chat }
about-dependency = Недоступно: { $name }
about-bot-deaf = Бот не получает команды от Telegram
about-bot-failed = Бот не смог ответить на команду
about-unclean-end = Прошлый запуск Дозора закончился аварийно
about-unknown = Неполадка

background-repeated = ⚠️ { $name }: { $count ->
    [one] { $count } ошибка
    [few] { $count } ошибки
   *[many] { $count } ошибок
} подряд ({ $count }/{ $limit })
background-stopped = 🛑 { $name } остановлена: { $count ->
    [one] { $count } ошибка
    [few] { $count } ошибки
   *[many] { $count } ошибок
} подряд
background-recovered = ✅ { $name } снова работает
background-duplicate = (возможно, повтор: на первую попытку не было ответа)
